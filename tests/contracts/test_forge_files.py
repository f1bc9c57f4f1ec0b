"""Files for a public forge agree with what they speak of; a release is written everywhere."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import sidmint
from tools.release import main

DATE = ["--date", "2030-01-31"]


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture
def clone(tmp_path: Path, repository: Path) -> Path:
    """The files that a release writes."""
    (tmp_path / "src/sidmint").mkdir(parents=True)
    for name in ("CHANGELOG.md", "pyproject.toml", "src/sidmint/__init__.py", "CITATION.cff"):
        shutil.copyfile(repository / name, tmp_path / name)
    changes = "# Changelog\n\n## 0.2.0 (unreleased)\n\n- New.\n\n## 0.1.0 (2029-12-01)\n\n- Old.\n"
    (tmp_path / "CHANGELOG.md").write_text(changes)
    return tmp_path


def texts(clone: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in clone.rglob("*") if path.is_file()}


def test_the_version_is_the_same_wherever_it_stands(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    citation = read_yaml(repository / "CITATION.cff")
    assert project["version"] == sidmint.__version__ == str(citation["version"])
    assert project["license"] == citation["license"]


def test_ci_calls_targets_that_are_there_on_every_python_that_is_declared(
    repository: Path,
) -> None:
    jobs = read_yaml(repository / ".github/workflows/ci.yml")["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    targets = {command.removeprefix("make ") for command in commands}
    makefile = (repository / "Makefile").read_text()
    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert {"lint", "docs", "test", "test-slow", "demo", "dist"} == targets
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    declared = [c.rpartition(" ")[2] for c in project["classifiers"] if ":: Python :: 3." in c]
    assert jobs["test"]["strategy"]["matrix"]["python-version"] == declared


def test_pre_commit_runs_the_pinned_ruff(repository: Path) -> None:
    hooks = read_yaml(repository / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    wanted = {pin for hook in hooks for pin in hook.get("additional_dependencies", ())}
    assert wanted <= set((repository / "constraints.txt").read_text().split())
    assert {hook["id"] for hook in hooks} >= {"ruff-check", "ruff-format", "mypy", "lint-imports"}


def test_issue_forms_have_what_a_forge_wants(repository: Path) -> None:
    for name in ("bug", "feature"):
        form = read_yaml(repository / f".github/ISSUE_TEMPLATE/{name}.yml")
        assert {"name", "description", "body"} <= set(form)
        ids = [field["id"] for field in form["body"]]
        assert len(ids) == len(set(ids))
        assert all(field["attributes"]["label"] for field in form["body"])


def test_a_release_writes_its_version_everywhere(clone: Path) -> None:
    assert main(["0.2.0", *DATE], clone) == 0
    changes = (clone / "CHANGELOG.md").read_text()
    assert "## 0.2.0 (2030-01-31)\n\n- New.\n\n## 0.1.0 (2029-12-01)" in changes
    assert tomllib.loads((clone / "pyproject.toml").read_text())["project"]["version"] == "0.2.0"
    assert '__version__ = "0.2.0"' in (clone / "src/sidmint/__init__.py").read_text()
    citation = read_yaml(clone / "CITATION.cff")
    assert (str(citation["version"]), str(citation["date-released"])) == ("0.2.0", "2030-01-31")


def test_a_second_release_replaces_the_date_of_the_first(clone: Path) -> None:
    assert main(["0.2.0", *DATE], clone) == 0
    text = (clone / "CHANGELOG.md").read_text()
    text = text.replace("# Changelog\n", "# Changelog\n\n## 0.3.0 (unreleased)\n\n- More.\n")
    (clone / "CHANGELOG.md").write_text(text)
    assert main(["0.3.0", "--date", "2030-02-01"], clone) == 0
    assert (clone / "CITATION.cff").read_text().count("date-released") == 1


@pytest.mark.parametrize(
    ("version", "changelog", "reason"),
    [
        ("1.0", None, "is not X.Y.Z"),
        ("0.1.0", None, "not above 0.1.0"),
        ("0.2.0", "# Changelog\n\n## 0.1.0 (2029-12-01)\n\n- Old.\n", "has 0 headings"),
        ("0.2.0", "## 0.2.0 (unreleased)\n\n## 0.1.0 (2029-12-01)\n\n- Old.\n", "nothing is"),
    ],
)
def test_what_cannot_be_released_is_named_and_nothing_is_written(
    clone: Path,
    capsys: pytest.CaptureFixture[str],
    version: str,
    changelog: str | None,
    reason: str,
) -> None:
    if changelog is not None:
        (clone / "CHANGELOG.md").write_text(changelog)
    before = texts(clone)
    assert main([version, *DATE], clone) == 2
    assert reason in capsys.readouterr().err
    assert texts(clone) == before
