"""`sidmint presets`: tokenizer settings that ship, to read or to add to params.yaml."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from sidmint.cli.output import console, emit
from sidmint.errors import BadInput


def presets(
    name: Annotated[str | None, typer.Argument(help="Show this one.", show_default=False)] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Write it into params.yaml of this workspace.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """The papers' settings: list them, show one as YAML, or add it to params.yaml."""
    from sidmint.presets import add_preset, preset
    from sidmint.presets import presets as shipped

    if add:
        from sidmint.cli.workspace import open_workspace

        if name is None:
            raise BadInput("--add wants the name of a preset; `sidmint presets` lists them")
        added = add_preset(open_workspace().layout, name)
        console.print(f"params.yaml now trains {', '.join(added)}; next: [bold]sidmint run[/]")
        return
    chosen = shipped() if name is None else {name: preset(name)}

    def render() -> None:
        if name is not None:
            print(f"# {chosen[name].about}\n{chosen[name].text}", end="")
            return
        table = Table("preset", "what it sets", "tokenizers", box=None, header_style="bold")
        for each in chosen.values():
            table.add_row(each.name, each.about, ", ".join(each.tokenizers))
        console.print(table, markup=False)

    plain = {
        each.name: {"about": each.about, "tokenizers": each.tokenizers} for each in chosen.values()
    }
    emit(plain, as_json, render)


def register(app: typer.Typer) -> None:
    """Add `presets`."""
    app.command()(presets)
