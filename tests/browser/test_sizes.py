"""Large catalogues: how big the page is, how fast it opens, and what it leaves out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from report_world import make_run
from sidmint.reporting.page import render
from sidmint.stages.report import read_run

Open = Callable[..., Any]
MOST_BYTES = 5_000_000


def write_page(folder: Path, num_items: int, tokenizers: tuple[str, ...]) -> Path:
    """The page of a catalogue whose titles are as long as those of a real one."""
    run = read_run(*make_run(folder, tokenizers, refused=(), num_items=num_items))
    wordy = (pl.col("title") + ", sturdy and refillable, for home and school, 12 pieces").alias(
        "title"
    )
    page = folder / "report.html"
    page.write_text(render(replace(run, items=run.items.with_columns(wordy))), encoding="utf-8")
    return page


def tell_load_time(opened: Any, path: Path) -> None:
    """Print what the browser measured: times are told, never asserted."""
    timing = opened.page.evaluate("performance.getEntriesByType('navigation')[0].toJSON()")
    size, parsed, loaded = (
        path.stat().st_size / 1e6,
        timing["domContentLoadedEventEnd"],
        timing["loadEventEnd"],
    )
    print(f"\n{size:.2f} MB, parsed after {parsed:.0f} ms, loaded after {loaded:.0f} ms")


def test_twelve_thousand_items_stay_under_five_megabytes(visit: Open, tmp_path: Path) -> None:
    path = write_page(tmp_path, 12_000, ("rq_kmeans", "rq_vae"))
    assert path.stat().st_size < MOST_BYTES
    opened = visit(path)
    tell_load_time(opened, path)
    page = opened.page
    page.fill("#search", "i011999")
    page.press("#search", "Enter")
    assert page.inner_text("#neighbours p").startswith("item i011999")
    opened.keep("twelve-thousand-items")
    assert "This page carries" not in page.inner_text("#browser")


@pytest.mark.slow
def test_a_million_items_are_sampled_and_the_page_says_so(visit: Open, tmp_path: Path) -> None:
    path = write_page(tmp_path, 1_000_000, ("rq_kmeans",))
    assert path.stat().st_size < MOST_BYTES
    opened = visit(path)
    tell_load_time(opened, path)
    page = opened.page
    said = re.search(r"This page carries ([\d,]+) of 1,000,000 items", page.inner_text("#browser"))
    assert said
    assert 0 < int(said[1].replace(",", "")) <= 20_000
    page.locator("#tree-title").scroll_into_view_if_needed()
    page.wait_for_selector("#columns .column")
    shown = page.locator("#columns .column").first.locator(".count").all_inner_texts()
    # Counts are of the whole catalogue: sampled branches stand for all their items.
    counts = [int(text.split()[-1].replace(",", "")) for text in shown]
    assert sum(counts) > 500_000
    assert np.all(np.diff(counts) <= 0)
    opened.keep("a-million-items")
