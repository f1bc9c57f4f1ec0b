"""What a template makes of an item."""

from __future__ import annotations

import re
from itertools import product

import polars as pl
import pytest

from sidmint.embedding import item_texts
from sidmint.errors import BadInput

TEMPLATE = "{title}. {brand}. {categories}"


def text(template=TEMPLATE, **values):
    return item_texts(
        template, pl.DataFrame({"item_id": ["i1"], **{k: [v] for k, v in values.items()}})
    )[0]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (("Desk", "Acme", "Office"), "Desk. Acme. Office"),
        (("Desk", None, "Office"), "Desk. Office"),
        (("Desk", "Acme", None), "Desk. Acme"),
        (("Desk", None, None), "Desk"),
        ((None, "Acme", "Office"), "Acme. Office"),
        ((None, None, "Office"), "Office"),
        (("Desk", "", "  "), "Desk"),
        (("Desk", "Acme Inc.", "Office"), "Desk. Acme Inc. Office"),
        (("Desk\n  of oak ", "Acme", "A > B"), "Desk of oak. Acme. A > B"),
    ],
)
def test_a_missing_value_leaves_its_part_out(values, wanted):
    assert text(title=values[0], brand=values[1], categories=values[2]) == wanted


@pytest.mark.parametrize(
    ("template", "brand", "wanted"),
    [
        ("{title} ({brand}). Type: {categories}", "Acme", "Desk (Acme). Type: Office"),
        ("{title} ({brand}). Type: {categories}", None, "Desk. Type: Office"),
        ("{categories} - {title} [{brand}]", None, "Office - Desk"),
        ("Brand: {brand}; title: {title}", None, "title: Desk"),
        ("Brand: {brand}; title: {title}", "Acme", "Brand: Acme; title: Desk"),
        ("{title} by {brand}.", "Acme Inc.", "Desk by Acme Inc."),
        ("{title} by {brand}.", None, "Desk."),
        ('"{title}", {brand}', None, '"Desk"'),
        ("{{{title}}} {brand}", None, "{Desk}"),
        ("{title}, title {title}", None, "Desk, title Desk"),
    ],
)
def test_marks_come_and_go_with_their_column(template, brand, wanted):
    assert text(template, title="Desk", brand=brand, categories="Office") == wanted


def test_no_mix_of_missing_values_leaves_stray_marks():
    for values in product(("x", None), repeat=3):
        if any(values):
            made = text(title=values[0], brand=values[1], categories=values[2])
            assert not re.search(r"\.\s*\.|^\W|\s$|\.$|  ", made), made


def test_numbers_and_lists_of_text_are_text():
    template = "{title}, {price}, {tags}"
    assert text(template, title="Desk", price=12.5, tags=["oak", "wide"]) == "Desk, 12.5, oak, wide"
    assert text(template, title="Desk", price=float("nan"), tags=[]) == "Desk"


def test_an_unknown_column_is_named_beside_those_there():
    with pytest.raises(BadInput, match=r"'maker'.*item_id, title"):
        text("{title} {maker}", title="Desk")


def test_an_item_without_text_is_named():
    items = pl.DataFrame({"item_id": ["i1", "i2"], "title": ["Desk", " "]})
    with pytest.raises(BadInput, match=r"item i2 has no text \(1 such"):
        item_texts("{title}", items)


@pytest.mark.parametrize(
    "template", ["no column", "", "{title", "title}", "{}", "{title!r}", "{title:>9}"]
)
def test_a_template_that_cannot_be_read_is_refused(template):
    with pytest.raises(BadInput, match=r"embed\.template"):
        text(template, title="Desk")


def test_a_column_that_is_no_text_is_refused():
    with pytest.raises(BadInput, match="'box' of type Struct"):
        text("{box}", box={"w": 1})
