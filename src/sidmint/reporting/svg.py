"""Matplotlib's SVG -> SVG that follows the page: its colours, its font, its dark mode.

A figure is drawn with the placeholder colours of `PLACEHOLDERS`; here each becomes the CSS
variable of the same role, so one drawing serves light, dark and print. Any other colour
is a defect, since it would not follow.
"""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_SERIES = 8
"""Distinct colours for tokenizers; a ninth tokenizer takes the first one again."""

PLACEHOLDERS = {
    "ink": "#000001",
    "muted": "#000002",
    "line": "#000003",
    "tokenizer": "#000004",
    "page": "#000005",
    **{f"series-{n}": f"#0001{n:02d}" for n in range(1, NUM_SERIES + 1)},
}
"""Role (a CSS variable of page.css) -> the colour that stands for it while drawing.

`tokenizer` is the colour of the section that a figure stands in.
"""

_ROLE_OF = {colour: role for role, colour in PLACEHOLDERS.items()}
_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")
_DECIMALS = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)|^#(.+)$")


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """`figure` as an `<svg>` element to stand inside a page, the same bytes every time.

    `name` must be unique on the page: it prefixes every id that the drawing refers to, so
    that two figures never share one. `label` is what a screen reader says in its place.
    """
    drawn = StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(drawn, format="svg", metadata=no_metadata)
    root = ElementTree.fromstring(drawn.getvalue())  # noqa: S314 - drawn a line above
    _drop(root, f"{{{_SVG}}}metadata", f"{{{_SVG}}}style")
    _rewrite(root, name)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.set("role", "img")
    root.set("aria-label", label)
    return _serialized(root)


def _drop(root: ElementTree.Element, *tags: str) -> None:
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in tags]:
            parent.remove(child)


def _rewrite(root: ElementTree.Element, name: str) -> None:
    """Prefix the ids in use, drop the others, and turn colours and numbers into the page's."""
    used = {
        found[1] or found[2]
        for element in root.iter()
        for value in element.attrib.values()
        for found in [_REFERENCE.search(value)]
        if found
    }
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)
        for key, value in list(element.attrib.items()):
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key == _HREF:
                del element.attrib[key]
                element.set("href", f"#{name}-{value[1:]}")
            elif key == "style":
                element.set(key, _themed(value))
            elif key == "transform" and value.startswith("rotate(-0 "):
                del element.attrib[key]
            elif key in {"d", "x", "y", "width", "height", "transform", "points"}:
                element.set(key, _rounded(value))
            elif key == "clip-path":
                element.set(key, value.replace("url(#", f"url(#{name}-"))


def _themed(style: str) -> str:
    kept = [part for part in style.split("; ") if not part.startswith("font-family")]
    return _COLOUR.sub(_variable, "; ".join(kept))


def _variable(found: re.Match[str]) -> str:
    role = _ROLE_OF.get(found[0].lower())
    if role is None:
        raise ValueError(f"a figure is drawn in {found[0]}, which is no colour of PLACEHOLDERS")
    return f"var(--{role})"


def _rounded(value: str) -> str:
    """Two decimals are a hundredth of a point: the eye sees no difference, the file is half."""
    flat = " ".join(value.split())
    return _DECIMALS.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), flat)


def _serialized(root: ElementTree.Element) -> str:
    ElementTree.register_namespace("", _SVG)
    for element in root.iter():
        element.tail = None
        if element.text is not None and not element.text.strip():
            element.text = None
    return ElementTree.tostring(root, encoding="unicode")
