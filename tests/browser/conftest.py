"""A headless Chromium for the tests of this folder, and pages in it that are watched.

Screenshots go to the folder that SIDMINT_SCREENSHOTS names, else to the test's own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from report_world import add_champion, make_run
from sidmint.stages.report import report

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Visit:
    """An opened page, and what it did that a report must not do."""

    page: Any
    folder: Path
    complaints: list[str] = field(default_factory=list)
    """Errors on the console, exceptions, dialogs, and requests that would leave the file."""

    def keep(self, name: str, whole: bool = False) -> None:
        """A screenshot NAME.png of what is in sight, or of the whole page."""
        self.page.screenshot(path=self.folder / f"{name}.png", full_page=whole)


Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser a file. Ended with it: while Playwright runs, this thread has a running event
    loop, which tests of other files could not bear.
    """
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium found; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Where pictures are kept."""
    folder = Path(os.environ.get("SIDMINT_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def visit(chromium: Any, screenshots: Path) -> Iterator[Open]:
    """Opens a file: visit(path, width=..., color_scheme=..., java_script_enabled=...).

    Every request but the one for the file itself is stopped and kept as a complaint; a test
    that ends with complaints fails.
    """
    visits = []

    def open_page(path: Path, width: int = 1200, **options: Any) -> Visit:
        view = {"width": width, "height": 900}
        context = chromium.new_context(viewport=view, reduced_motion="reduce", **options)
        page = context.new_page()
        opened = Visit(page, screenshots)
        visits.append(opened)
        wanted = path.as_uri()

        def route(asked: Any) -> None:
            url = asked.request.url
            if url.partition("#")[0] == wanted:
                asked.continue_()
            else:
                opened.complaints.append(f"request for {url}")
                asked.abort()

        def answer(dialog: Any) -> None:
            opened.complaints.append(f"dialog {dialog.message}")
            dialog.dismiss()

        context.route("**/*", route)
        page.on("dialog", answer)
        page.on("pageerror", lambda error: opened.complaints.append(f"exception {error}"))
        page.on("console", lambda said: opened.complaints.append(f"console: {said.text}"))
        page.goto(wanted)
        return opened

    yield open_page
    for opened in visits:
        opened.page.context.close()
    assert [opened.complaints for opened in visits] == [[] for _ in visits]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of a finished run beside a champion, one of its two tokenizers refused."""
    root = tmp_path_factory.mktemp("browsed")
    params, artifacts = make_run(root)
    add_champion(artifacts, num_versions=3)
    report(params, artifacts)
    return root


@pytest.fixture(scope="session")
def report_page(world: Path) -> Path:
    """Its page."""
    return world / "data/build/report/report.html"
