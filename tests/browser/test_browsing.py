"""Search and tree, by mouse and by keyboard: what they show is what the table says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sidmint.reporting.titles import one_line

Open = Callable[..., Any]
CODES = ["code_1", "code_2", "code_3"]


@pytest.fixture(scope="module")
def table(world: Path) -> pl.DataFrame:
    """Ids and titles, as shown, of rq_kmeans: the tokenizer that the page begins with."""
    sids = pl.read_parquet(world / "data/build/assign/rq_kmeans/sids.parquet")
    items = pl.read_parquet(world / "data/build/ingest/items.parquet")
    shown = [one_line(title) for title in items["title"]]
    return sids.join(items.with_columns(title=pl.Series(shown)), on="item_id")


def under(table: pl.DataFrame, prefix: list[int]) -> pl.DataFrame:
    """The items whose codes begin with `prefix`."""
    for column, code in zip(CODES, prefix, strict=False):
        table = table.filter(pl.col(column) == code)
    return table


def counts(table: pl.DataFrame, level: int) -> list[tuple[str, str]]:
    """(code, number of items) of one column of the tree, fullest first, ties by code."""
    found = table.group_by(CODES[level]).len().sort("len", CODES[level], descending=[True, False])
    return [(str(code), str(number)) for code, number in found.iter_rows()]


def column(page: Any, place: int) -> list[tuple[str, str]]:
    """(code, number of items) of the codes that a column of the tree lists."""
    buttons = page.locator("#columns .column").nth(place).locator("button").all()
    return [
        (each.locator(".code").inner_text(), each.locator(".count").inner_text().split()[-1])
        for each in buttons
    ]


def open_tree(page: Any) -> None:
    page.locator("#tree-title").scroll_into_view_if_needed()
    page.wait_for_selector("#columns .column")


def test_the_mouse_walks_down_to_the_items(
    visit: Open, report_page: Path, table: pl.DataFrame
) -> None:
    opened = visit(report_page)
    page = opened.page
    open_tree(page)
    assert column(page, 0) == counts(table, 0)
    # The fullest pair of codes, under which the third level forks.
    first, second, _ = (
        table.group_by(CODES[:2]).agg(pl.len(), pl.col("code_3").n_unique().alias("forks"))
        .filter(pl.col("forks") > 1).sort("len", *CODES[:2], descending=True)
        .select(*CODES[:2], "len").row(0)
    )  # fmt: skip
    page.locator("#columns .column").nth(0).locator(f"button:has(.code:text-is('{first}'))").click()
    assert column(page, 1) == counts(under(table, [first]), 1)
    page.locator("#columns .column").nth(1).locator(
        f"button:has(.code:text-is('{second}'))"
    ).click()
    assert column(page, 2) == counts(under(table, [first, second]), 2)
    third = column(page, 2)[0][0]
    page.locator("#columns .column").nth(2).locator(f"button:has(.code:text-is('{third}'))").click()
    listed = page.locator("#columns .items button .count").all_inner_texts()
    opened.keep("tree")
    wanted = under(table, [first, second, int(third)])["semantic_id"].to_list()
    assert sorted(listed) == sorted(wanted)


def test_the_keyboard_alone_walks_down_to_an_item(
    visit: Open, report_page: Path, table: pl.DataFrame
) -> None:
    page = visit(report_page).page
    focused = "document.activeElement.closest('#columns') !== null"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(focused):
            break
    assert page.evaluate(focused)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    second_code = counts(table, 0)[1][0]
    where = "document.activeElement.querySelector('.code')?.textContent ?? ''"
    assert page.evaluate(where) == second_code
    page.keyboard.press("Enter")
    assert column(page, 1) == counts(under(table, [int(second_code)]), 1)
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.closest('.items') !== null")
    page.keyboard.press("Enter")
    chosen = page.inner_text("#neighbours code")
    assert chosen in table["semantic_id"].to_list()
    assert chosen.startswith(f"{second_code}-")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.closest('.items') === null")
    assert page.evaluate(focused)


def siblings(table: pl.DataFrame, item: dict[str, Any], length: int) -> set[str]:
    """Titles that share the first `length` codes with `item` and then part."""
    codes = [item[code] for code in CODES]
    near = under(table, codes[:length]).filter(pl.col("item_id") != item["item_id"])
    if length < len(CODES):
        near = near.filter(pl.col(CODES[length]) != codes[length])
    return set(near["title"])


@pytest.fixture(scope="module")
def item(table: pl.DataFrame) -> dict[str, Any]:
    """An item that has siblings at every level."""
    return next(
        row
        for row in table.iter_rows(named=True)
        if row["title"].endswith("office") and all(siblings(table, row, n) for n in (1, 2, 3))
    )


@pytest.mark.parametrize("by", ["title", "item_id", "semantic_id"])
def test_search_finds_an_item_and_shows_its_siblings_at_each_level(
    visit: Open, report_page: Path, table: pl.DataFrame, item: dict[str, Any], by: str
) -> None:
    opened = visit(report_page)
    page = opened.page
    page.fill("#search", item[by])
    assert page.inner_text("#found-0 bdi >> nth=0") == item["title"]
    page.press("#search", "ArrowDown")
    page.press("#search", "Enter")
    assert page.inner_text("#neighbours h3") == item["title"]
    assert item["semantic_id"] in page.inner_text("#neighbours p")
    # Whatever is cut short is shown whole.
    while page.locator("#neighbours .plain").count():
        page.locator("#neighbours .plain").first.click()
    opened.keep(f"search-{by}")
    lists = page.locator("#neighbours ul").all()
    assert len(lists) == len(CODES)
    for length, shown in zip((3, 2, 1), lists, strict=True):
        assert set(shown.locator("bdi").all_inner_texts()) == siblings(table, item, length)


def test_another_tokenizer_shows_its_own_tree(visit: Open, report_page: Path, world: Path) -> None:
    page = visit(report_page).page
    open_tree(page)
    page.locator("#choice label", has_text="rq_vae").click()
    theirs = pl.read_parquet(world / "data/build/assign/rq_vae/sids.parquet")
    assert column(page, 0) == counts(theirs, 0)


def test_what_is_not_there_is_not_found(visit: Open, report_page: Path) -> None:
    page = visit(report_page).page
    page.fill("#search", "no such thing at all")
    assert page.inner_text("#search-status") == "No item matches."
    assert not page.is_visible("#search-results")
