"""The documentation as one folder for mkdocs: `python tools/reference.py build/docs`.

The pages of the repository where they lie, so that their links hold, and a reference that is read
from the code: every command, every parameter with its default and why, every metric, the API.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import itertools
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.main import get_command

from sidmint.cli import app
from sidmint.contracts import METRICS
from sidmint.embedding import SourceParams
from sidmint.params import Params
from sidmint.publishing.serving import PublishedTable, load
from sidmint.recommenders import RECOMMENDERS
from sidmint.tokenizers import TOKENIZERS

ROOT = Path(__file__).resolve().parents[1]
_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md")
_BESIDE = ("params.yaml",)
_FOLDERS = ("docs", "decisions")


def assemble(folder: Path) -> None:
    """Write everything that mkdocs reads into `folder`, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in (*_PAGES, *_BESIDE):
        shutil.copyfile(ROOT / name, folder / name)
    for name in _FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    (folder / "decisions" / "README.md").write_text(decisions_page(), encoding="utf-8")
    (folder / "reference").mkdir()
    pages = {
        "commands": commands_page(),
        "parameters": parameters_page(),
        "metrics": metrics_page(),
        "api": api_page(),
    }
    for name, text in pages.items():
        (folder / "reference" / f"{name}.md").write_text(text, encoding="utf-8")


def decisions_page() -> str:
    """The list of decision records."""
    lines = ["# Decisions", "", "What was chosen, what was refused, and why.", ""]
    for path in sorted((ROOT / "decisions").glob("*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Every command with its arguments and options."""
    group: Any = get_command(app)
    parts = ["# Commands", group.epilog or ""]
    for name, command in group.commands.items():
        parts += [f"## sidmint {name}", inspect.cleandoc(command.help or "")]
        rows = [_option_row(parameter) for parameter in command.params]
        parts += [_table(("argument or option", "default", "what it is"), rows)] if rows else []
    return "\n\n".join(part for part in parts if part) + "\n"


def _option_row(parameter: Any) -> tuple[str, str, str]:
    words = getattr(parameter, "help", None) or ""
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`", "", words
    default = parameter.default
    shown = "" if default in (None, False) or callable(default) else f"`{default}`"
    return ", ".join(f"`{name}`" for name in parameter.opts), shown, words


def parameters_page() -> str:
    """Every key of params.yaml, of every tokenizer and of every recommender."""
    parts = [
        "# Parameters",
        "Every value that a run depends on stands in params.yaml. A key that is not known there is "
        "an error, which names the nearest one. Defaults are those of a key that is left out; "
        "`sidmint init` writes what fits your files.",
        *_sections("", Params),
        *_sections("embed.sources.NAME", SourceParams),
        "# Settings of tokenizers",
        "Under `tokenizers.NAME` in params.yaml.",
    ]
    for name in TOKENIZERS:
        parts += _sections(f"tokenizers.{name}", TOKENIZERS[name].Config)
    parts += ["# Settings of recommenders", "Under `recommend.settings` in params.yaml."]
    for name in RECOMMENDERS:
        parts += _sections(f"recommend.settings ({name})", RECOMMENDERS[name].Config)
    return "\n\n".join(parts) + "\n"


def _sections(where: str, model: type[BaseModel]) -> Iterator[str]:
    """A heading and a table for `model`, then for each section within it."""
    docs = field_docs(model)
    inner = {name: _model_in(field.annotation) for name, field in model.model_fields.items()}
    rows = [
        (f"`{name}`", _default(field), docs.get(name, ""))
        for name, field in model.model_fields.items()
        if inner[name] is None
    ]
    if where:
        yield f"## {where}"
        yield textwrap.dedent(inspect.getdoc(model) or "").partition("\n\n")[0]
    if rows:
        yield _table(("key", "default", "what it is, and why"), rows)
    for name, section in inner.items():
        if section is not None:
            yield from _sections(f"{where}.{name}".removeprefix("."), section)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, alone or as one of its choices."""
    choices = (annotation, *getattr(annotation, "__args__", ()))
    if getattr(annotation, "__origin__", None) in (dict, tuple, list):
        return None
    found = (c for c in choices if isinstance(c, type) and issubclass(c, BaseModel))
    return next(found, None)


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "`{}`" if field.default_factory is not None else "must be given"
    return f"`{'null' if field.default is None else field.default}`"


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """The string below each field of `model` and of its bases, on one line."""
    docs: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not issubclass(base, BaseModel) or base is BaseModel:
            continue
        written: Any = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        for field, below in itertools.pairwise(written.body):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                docs[field.target.id] = " ".join(str(below.value.value).split())
    return docs


def metrics_page() -> str:
    """Every metric: its name, which way is better, what it means."""
    rows = [(f"`{name}`", m.better or "neither", m.meaning) for name, m in METRICS.items()]
    return f"# Metrics\n\n{_table(('metric', 'better', 'meaning'), rows)}\n"


def api_page() -> str:
    """`sidmint.load` and what it opens, from their docstrings."""
    parts = ["# Python API", *_entry("sidmint.load", load)]
    parts += ["## PublishedTable", inspect.getdoc(PublishedTable) or ""]
    for name, member in vars(PublishedTable).items():
        if not name.startswith("_") and (inspect.isfunction(member) or _is_property(member)):
            parts += _entry(f"PublishedTable.{name}", member)
    return "\n\n".join(parts) + "\n"


def _is_property(member: Any) -> bool:
    return hasattr(member, "func") or isinstance(member, property)


def _entry(name: str, member: Any) -> list[str]:
    signature = str(inspect.signature(member)) if callable(member) else ""
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", signature)  # annotations are strings
    return [f"### {name}", f"```python\n{name}{signature}\n```", inspect.getdoc(member) or ""]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python tools/reference.py", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="is made anew")
    assemble(parser.parse_args(arguments).folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
