"""Write a release's version wherever it stands: `python tools/release.py 0.2.0`.

The heading of CHANGELOG.md that says "(unreleased)" gets the version and the date; pyproject.toml,
`sidmint.__version__` and CITATION.cff get the version. All files are looked at before one is
written. Commit, tag and upload are yours: what to type is printed.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_UNRELEASED = re.compile(r"^## (\S+) \(unreleased\)\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
_RELEASED = re.compile(r"^## (\d+\.\d+\.\d+) \(\d{4}-\d{2}-\d{2}\)$", re.MULTILINE)


class CannotRelease(Exception):
    """What stands in the way, and what to do about it."""


def release(root: Path, version: str, date: datetime.date) -> list[str]:
    """Write `version`, released on `date`, into the files at `root`; their names."""
    if not _VERSION.fullmatch(version):
        raise CannotRelease(f"version {version!r} is not X.Y.Z, three whole numbers")
    texts = {name: (root / name).read_text(encoding="utf-8") for name in _WRITERS}
    written = {name: write(texts[name], version, date) for name, write in _WRITERS.items()}
    for name, text in written.items():
        (root / name).write_text(text, encoding="utf-8")
    return list(written)


def _changelog(text: str, version: str, date: datetime.date) -> str:
    found = list(_UNRELEASED.finditer(text))
    if len(found) != 1:
        raise CannotRelease(
            f"CHANGELOG.md has {len(found)} headings like '## X.Y.Z (unreleased)'; it wants one"
        )
    if not found[0].group(2).strip():
        raise CannotRelease("nothing is written under the unreleased heading of CHANGELOG.md")
    newest = max(map(_numbers, _RELEASED.findall(text)), default=(0, 0, 0))
    if _numbers(version) <= newest:
        raise CannotRelease(
            f"{version} is not above {'.'.join(map(str, newest))}, which CHANGELOG.md has already"
        )
    return _replaced(text, r"^## \S+ \(unreleased\)$", f"## {version} ({date})", "CHANGELOG.md")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _pyproject(text: str, version: str, date: datetime.date) -> str:
    return _replaced(text, r'^version = ".*"$', f'version = "{version}"', "pyproject.toml")


def _package(text: str, version: str, date: datetime.date) -> str:
    return _replaced(text, r'^__version__ = ".*"$', f'__version__ = "{version}"', "__init__.py")


def _citation(text: str, version: str, date: datetime.date) -> str:
    without_date = re.sub(r"^date-released: .*\n", "", text, flags=re.MULTILINE)
    lines = f"version: {version}\ndate-released: {date}"
    return _replaced(without_date, r"^version: .*$", lines, "CITATION.cff")


def _replaced(text: str, pattern: str, line: str, name: str) -> str:
    changed, count = re.subn(pattern, line, text, flags=re.MULTILINE)
    if count != 1:
        raise CannotRelease(f"{name} has {count} lines like {pattern}; it wants one")
    return changed


_WRITERS: dict[str, Callable[[str, str, datetime.date], str]] = {
    "CHANGELOG.md": _changelog,
    "pyproject.toml": _pyproject,
    "src/sidmint/__init__.py": _package,
    "CITATION.cff": _citation,
}


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """The command line; 2 where something stands in the way, and nothing is written then."""
    parser = argparse.ArgumentParser(prog="python tools/release.py", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("version", help="X.Y.Z")
    parser.add_argument(
        "--date",
        type=datetime.date.fromisoformat,
        default=datetime.datetime.now(datetime.UTC).date(),
        help="YYYY-MM-DD; default: today, in UTC",
    )
    given = parser.parse_args(arguments)
    try:
        names = release(root, given.version, given.date)
    except CannotRelease as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {given.version} to {', '.join(names)}; next:")
    print(f"  make lint test && git commit --all --message 'Release {given.version}'")
    print(f"  git tag v{given.version} && make dist")
    return 0


if __name__ == "__main__":
    sys.exit(main())
