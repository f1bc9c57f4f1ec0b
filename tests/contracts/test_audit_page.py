"""`sidmint audit`: one page that loads nothing, escapes everything, and tells every act."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from html_page import Page
from releases import Built, build_workspace
from sidmint.errors import BadInput, Refused
from sidmint.publishing.release import Override
from version_commands import app, parsed, say, stub_mlflow

HOSTILE = '<img src=x onerror=alert(1)>"</style><script>alert(2)</script>'


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    """v0001 published; v0002 against the gate, by a hostile name; a looser gate; a refusal."""
    root = tmp_path / "w"
    monkeypatch.setenv("SIDMINT_WORKSPACE", str(root))
    stub_mlflow(monkeypatch)
    built = build_workspace(root)
    built.publish("one")
    built.judge("two", refused=True)
    built.publish("two", Override(by=HOSTILE, reason=HOSTILE))
    loose = {"rules": {"retention_at_100": {"min": 0.3}}, "champion": {}}
    built.set_params(gate=loose, seed=8)
    built.build("one", retention=0.2)
    with pytest.raises(Refused):
        built.publish("one")
    return built


def audit(built: Built, name: str = "audit.html") -> str:
    path = built.root.parent / name
    say("audit", "--html", str(path))
    return path.read_text(encoding="utf-8")


def test_the_page_tells_every_version_and_every_act(built: Built) -> None:
    page = Page(audit(built))
    assert page.unbalanced == []
    assert "The registry is intact" in page.text
    assert "v0002 is champion. 2 versions, 1 refusal, 3 lines in the log." in page.text
    assert "retention_at_100 is 0.200, below the 0.300 required" in page.text
    assert "The gate was looser when the table of one was refused" in page.text
    assert "gate.rules.retention_at_100 min 0.5, critical → min 0.3, critical" in page.text
    assert built.store.log.entries()[-1]["hash"] in page.text
    assert [row["id"] for row in page.all("li") if "id" in row] == ["line-3", "line-2", "line-1"]


def test_the_page_loads_nothing_and_runs_nothing(built: Built) -> None:
    html = audit(built)
    page = Page(html)
    assert HOSTILE in page.text
    assert HOSTILE not in html
    assert page.all("script") == page.all("img") == page.all("iframe") == []
    addresses = [e.get("href") or e.get("src") or "" for _, e in page.elements]
    assert all(address.startswith(("#", "data:,")) for address in addresses if address)
    assert "url(" not in html
    assert "@import" not in html
    policy = page.all("meta")[1]["content"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy


def test_the_same_registry_gives_the_same_bytes(built: Built) -> None:
    assert audit(built, "one.html") == audit(built, "two.html")


def test_a_damaged_registry_is_told_on_the_page_and_by_the_exit_code(built: Built) -> None:
    (built.store.folder / "versions" / "v0001" / "stray").write_text("?")
    path = built.root.parent / "audit.html"
    result = CliRunner().invoke(app, ["audit", "--html", str(path), "--json"])
    assert isinstance(result.exception, Refused)
    told = json.loads(result.stdout)
    assert told["problems"] == ["v0001: stray is not in the manifest"]
    page = Page(path.read_text(encoding="utf-8"))
    assert "The registry is not intact" in page.text
    assert "v0001: stray is not in the manifest" in page.text


def test_the_json_of_the_command_keeps_its_keys(built: Built, tmp_path: Path) -> None:
    told = parsed("audit", "--html", str(tmp_path / "a.html"))
    assert told.keys() == {"path", "intact", "problems", "log_head", "num_acts", "num_versions"}
    assert (told["intact"], told["num_acts"], told["num_versions"]) == (True, 3, 2)


def test_a_page_that_cannot_be_written_is_bad_input(built: Built, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be written"):
        say("audit", "--html", str(tmp_path / "nowhere" / "a.html"))
    with pytest.raises(BadInput, match="cannot be written"):
        say("audit", "--html", str(tmp_path))


def test_an_empty_registry_has_nothing_to_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDMINT_WORKSPACE", str(tmp_path))
    build_workspace(tmp_path)
    with pytest.raises(BadInput, match="there is nothing to audit"):
        say("audit", "--html", str(tmp_path / "a.html"))
