"""The report as a browser shows it: nothing leaves, nothing runs, everything can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from report_world import HOSTILE_TITLES

CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")
Open = Callable[..., Any]


def open_all(page: Any) -> None:
    """Open what is folded away, and choose an item, so that every part is there."""
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    page.fill("#search", "i000042")
    page.press("#search", "Enter")
    page.wait_for_selector("#neighbours h3")


def test_the_page_opens_from_a_file_without_a_complaint(visit: Open, report_page: Path) -> None:
    opened = visit(report_page)
    assert opened.page.inner_text("h1").endswith("rq_kmeans would be published.")
    open_all(opened.page)
    opened.page.wait_for_timeout(200)
    opened.keep("report")
    assert opened.complaints == []


def test_a_request_would_be_noticed(visit: Open, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><img src='https://example.org/a.png'>", encoding="utf-8")
    opened = visit(page)
    opened.page.wait_for_timeout(200)
    assert "request for https://example.org/a.png" in opened.complaints
    opened.complaints.clear()


def test_a_title_that_is_a_script_is_text(visit: Open, report_page: Path) -> None:
    opened = visit(report_page)
    page = opened.page
    page.fill("#search", "alert(1)")
    assert page.inner_text("#found-0 bdi >> nth=0") == HOSTILE_TITLES[0]
    page.press("#search", "Enter")
    assert page.inner_text("#neighbours h3") == HOSTILE_TITLES[0]
    assert HOSTILE_TITLES[0] in page.inner_text(".buckets")
    assert page.locator("script").count() == 2
    assert opened.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_keeps_its_contrast(visit: Open, report_page: Path, scheme: str) -> None:
    opened = visit(report_page, color_scheme=scheme)
    open_all(opened.page)
    opened.page.evaluate("scrollTo(0, 0)")
    opened.keep(f"report-{scheme}")
    seen = opened.page.evaluate(CONTRAST)
    assert len(seen) > 300
    # WCAG 2.2, 1.4.3: 4.5 to 1, and 3 to 1 for large text.
    poor = [each for each in seen if each["ratio"] < (3 if each["large"] else 4.5)]
    assert poor == []


def test_dark_mode_turns_the_page_dark(visit: Open, report_page: Path) -> None:
    read = "getComputedStyle(document.body)[{!r}].match(/[0-9.]+/g).map(Number)"
    shown = {}
    for scheme in ("light", "dark"):
        page = visit(report_page, color_scheme=scheme).page
        shown[scheme] = [page.evaluate(read.format(what)) for what in ("backgroundColor", "color")]
    (light_page, light_ink), (dark_page, dark_ink) = shown["light"], shown["dark"]
    assert sum(light_page) > sum(light_ink)
    assert sum(dark_page) < sum(dark_ink)


def test_a_narrow_screen_does_not_scroll_sideways(visit: Open, report_page: Path) -> None:
    opened = visit(report_page, width=360)
    open_all(opened.page)
    opened.keep("report-narrow", whole=True)
    assert opened.page.evaluate("document.scrollingElement.scrollWidth") == 360
    assert opened.page.evaluate("(scrollTo(999, 0), scrollX)") == 0


def test_without_javascript_the_numbers_are_there(visit: Open, report_page: Path) -> None:
    opened = visit(report_page, java_script_enabled=False)
    page = opened.page
    opened.keep("report-without-javascript")
    assert "rq_kmeans would be published." in page.inner_text("h1")
    row = page.locator("#comparison tr", has=page.locator(".meaning"), has_text="hr_at_100").first
    assert "0.1414" in row.inner_text()
    assert "better" in page.inner_text(".differences >> nth=0")
    page.click("text=At every cutoff")
    assert "hr_at_200" in page.inner_text(".differences >> nth=1")
    assert page.locator("noscript p").is_visible()
    assert not page.is_visible("#browser-app")


def test_links_of_the_navigation_lead_to_their_sections(visit: Open, report_page: Path) -> None:
    page = visit(report_page).page
    top = "(id) => document.querySelector(id).getBoundingClientRect().top"
    for link in page.locator("nav a").all():
        target = link.get_attribute("href")
        link.click()
        assert 0 <= page.evaluate(top, target) < 900, target
