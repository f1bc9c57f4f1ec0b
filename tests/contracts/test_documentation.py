"""The reference says everything that the code has, and the site's links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from sidmint.cli import app
from sidmint.contracts import METRICS
from sidmint.params import IngestParams, Params
from sidmint.recommenders import RECOMMENDERS
from sidmint.tokenizers import TOKENIZERS
from sidmint.tokenizers.gradient import GradientTokenizer
from tools.reference import assemble, field_docs


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "pages"
    assemble(folder)
    return folder


def read(pages: Path, name: str) -> str:
    return (pages / "reference" / f"{name}.md").read_text(encoding="utf-8")


def test_every_command_and_option_is_described(pages: Path) -> None:
    text = read(pages, "commands")
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        section = text.partition(f"## sidmint {name}\n")[2].partition("\n## ")[0]
        for parameter in command.params:
            assert f"`{parameter.opts[-1]}`" in section or f"`{parameter.name.upper()}`" in section


def test_every_parameter_stands_there_with_its_default(pages: Path) -> None:
    text = read(pages, "parameters")
    assert "| `seed` | `7` |" in text
    assert "| `head_share` | `0.2` | The most popular share of warm items;" in text
    for section in Params.model_fields:
        assert f"## {section}\n" in text or f"| `{section}` |" in text, section
    for name in TOKENIZERS:
        assert f"## tokenizers.{name}\n" in text
    for name in RECOMMENDERS:
        assert f"## recommend.settings ({name})\n" in text


def test_a_field_has_the_words_below_it_or_those_of_its_base() -> None:
    ingest = field_docs(IngestParams)
    assert ingest["cold_share"] == (
        "Share of items, newest first, withheld from every training interaction."
    )
    assert "source" not in ingest  # nothing is written below it, and it takes no other's words
    sizes = field_docs(GradientTokenizer.Config)["sizes"]
    assert field_docs(TOKENIZERS["quasid"].Config)["sizes"] == sizes != ""


def test_every_metric_is_explained(pages: Path) -> None:
    text = read(pages, "metrics")
    for name, metric in METRICS.items():
        assert f"| `{name}` |" in text
        assert " ".join(metric.meaning.split()).replace("|", "\\|") in text


def test_the_api_is_that_of_a_published_table(pages: Path) -> None:
    text = read(pages, "api")
    for name in ("sidmint.load", "PublishedTable.semantic_id", "PublishedTable.neighbours"):
        assert f"### {name}\n" in text
    assert "sidmint.load(registry: str | Path, version: str = 'champion') -> " in text


def test_every_page_of_the_site_is_there_and_every_link_of_a_page(
    pages: Path, repository: Path
) -> None:
    nav = yaml.safe_load((repository / "mkdocs.yml").read_text())["nav"]
    listed = re.findall(r"[\w/.-]+\.md", str(nav))
    assert listed[0] == "README.md"
    assert len(listed) > 15
    for name in listed:
        assert (pages / name).is_file(), name
    for page in [*pages.glob("*.md"), *pages.glob("docs/**/*.md"), *pages.glob("decisions/*.md")]:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"
