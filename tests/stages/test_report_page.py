"""The report as a reader, a screen reader and DVC meet it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from embed_world import catalogue
from html_page import Page
from report_world import HOSTILE_TITLES, make_run
from served_world import ITEM_IDS, TITLES
from sidmint.artifacts import Artifacts
from sidmint.stages.embed import embed
from sidmint.stages.report import report
from sources_world import put_sources, sources_params


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    params, artifacts = make_run(tmp_path_factory.mktemp("run"))
    report(params, artifacts)
    return artifacts


@pytest.fixture(scope="module")
def html(run: Artifacts) -> str:
    return (run.layout.stage("report") / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_verdict_comes_before_everything_else(page: Page) -> None:
    after = page.text.partition("rq_kmeans would be published.")[2]
    assert "only one of 2 tokenizers that passed" in after
    assert after.index("collision_rate is above the 0.300 allowed") < after.index("The numbers a")


def test_reasons_and_warnings_stand_with_their_tokenizer(page: Page) -> None:
    refused = page.text[page.text.index("REFUSED") :]
    assert refused.index("Why it was refused") < refused.index("collision_rate is above")
    assert page.text.count("Why it was refused") == 1


def test_every_id_on_the_page_is_used_once_and_every_reference_finds_one(page: Page) -> None:
    ids = [a["id"] for _, a in page.elements if a.get("id")]
    assert len(ids) == len(set(ids))
    wanted = {value[1:] for _, a in page.elements if (value := a.get("href") or "").startswith("#")}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", str(page.elements)))
    for name in ("aria-labelledby", "aria-controls", "for"):
        wanted |= {a[name] for _, a in page.elements if a.get(name)}  # type: ignore[misc]
    assert wanted <= set(ids)


def test_the_markup_is_balanced(page: Page) -> None:
    assert page.unbalanced == []
    assert page.open == []


def test_nothing_is_loaded_from_anywhere(page: Page, html: str) -> None:
    assert {a["href"] for a in page.all("link")} == {"data:,"}
    assert not [a for tag in ("script", "img", "iframe") for a in page.all(tag) if a.get("src")]
    assert "url(http" not in html
    assert "@import" not in html
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) <= {"http://www.w3.org/2000/svg"}


def test_only_the_page_s_own_script_may_run(page: Page, html: str) -> None:
    policy = next(a for a in page.all("meta") if a.get("http-equiv"))["content"] or ""
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_every_drawing_says_in_words_what_it_shows(page: Page) -> None:
    drawings = [a for a in page.all("svg") if "key" not in (a.get("class") or "")]
    assert len(drawings) > 20
    assert all(a.get("role") == "img" and len(a.get("aria-label") or "") > 10 for a in drawings)


def test_drawings_take_every_colour_from_the_page(html: str) -> None:
    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        assert not re.search(r"#[0-9a-fA-F]{6}\b", drawing)
    defined = set(re.findall(r"(--[a-z0-9-]+):", html))
    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", html)) <= defined


def test_hostile_titles_are_shown_and_do_nothing(page: Page, html: str) -> None:
    assert "<script>alert(1)</script>" in page.text
    assert html.count("<script") == 2
    assert "costs $5$ or $\\frac{1}{2}$" in page.text
    assert "\u202e" not in html
    assert "\u2028" not in html


def test_the_browser_gets_every_item_with_its_own_title_and_id(html: str, run: Artifacts) -> None:
    found = re.search(r'id="tree-data">(.*?)</script>', html, re.DOTALL)
    assert found
    assert not set("<>&\u2028\u2029") & set(found[1])
    data = json.loads(found[1])
    assert data["titles"][0] == HOSTILE_TITLES[0]
    assert data["ids"] == run.items()["item_id"].to_list()
    for tokenizer in data["tokenizers"]:
        sids = run.table("assign", "sids", tokenizer["name"])
        made = [
            "-".join(map(str, (*codes, tail)))
            for *codes, tail in zip(*tokenizer["levels"], tokenizer["tails"], strict=True)
        ]
        assert made == sids["semantic_id"].to_list()


def test_no_path_of_this_machine_is_on_the_page(html: str, run: Artifacts) -> None:
    assert str(run.layout.root) not in html
    assert str(Path.home()) not in html
    assert not re.search(r"(?<![\w.])/(home|tmp|usr|work|root|var)/", html)


def test_two_runs_give_the_same_bytes(run: Artifacts, html: str, tmp_path: Path) -> None:
    params, again = make_run(tmp_path)
    outcome = report(params, again)
    assert (again.layout.stage("report") / "report.html").read_text(encoding="utf-8") == html
    assert sorted(path.name for path in again.layout.stage("report").iterdir()) == ["report.html"]
    assert outcome.headline.startswith("data/build/report/report.html (")


def test_differences_to_the_champion_say_which_way_is_better(tmp_path: Path) -> None:
    metrics = {"hr_at_100": 0.05, "conflict_rate": 0.01, "retention_at_100": 0.9}
    champion = {"version": "v0003", "tokenizer": "rq_vae", "metrics": metrics}
    params, artifacts = make_run(tmp_path, tokenizers=("rq_kmeans",), champion=champion)
    report(params, artifacts)
    text = Page((artifacts.layout.stage("report") / "report.html").read_text()).text
    assert re.search(
        r"hr_at_100 .*? 0\.1414 [0-9. to]+ \+0\.0914 better than the champion 0\.0500", text
    )
    assert re.search(r"conflict_rate .*? 0\.0400 \+0\.0300 worse than the champion 0\.0100", text)
    assert "The champion, version v0003, stands beside every number." in text


def test_a_page_of_one_source_says_nothing_of_sources(page: Page) -> None:
    assert "Sources of the vectors" not in page.text


@pytest.mark.slow
def test_sources_of_joined_vectors_stand_on_the_page_before_and_after(tmp_path: Path) -> None:
    params, artifacts = make_run(tmp_path)
    file = artifacts.layout.stage("report") / "report.html"
    embedded = catalogue(tmp_path / "embedded", {"item_id": ITEM_IDS, "title": TITLES})
    put_sources(tmp_path / "embedded")
    embed(sources_params(), embedded)
    with artifacts.writing("embed") as out:
        out.table("sources", embedded.table("embed", "sources"))
    report(params, artifacts)
    page = Page(file.read_text(encoding="utf-8"))
    assert page.unbalanced == []
    assert "Vectors are joined from behaviour, image, text." in page.text
    table = page.text.partition("Geometry of each source and of the joined vectors")[2]
    places = [table.index(words) for words in ("image, before", "image, after", "joined, after")]
    assert places == sorted(places)
