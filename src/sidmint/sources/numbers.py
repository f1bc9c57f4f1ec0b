"""Amounts as people write them: 1,299.50 and 1.299,50, with a currency or without."""

from __future__ import annotations

import polars as pl

_NOT_OF_A_NUMBER = r"[^0-9.,\-]"
"""Currencies, spaces of every width, apostrophes between thousands."""


def as_amounts(texts: pl.Series, commas: bool | None = None) -> pl.Series:
    """`texts` as numbers, null where there is none.

    Where a text has both marks, or one mark twice, it says itself which of them is the decimal
    one: the last of two kinds, and never one that comes twice. So does a single mark before other
    than three digits (`12,5`). What is left, such as `1,299`, is read as the texts that say it
    mostly are, else with commas between thousands; where `texts` are a piece of a column, `commas`
    is what `decimal_commas` over all of it say: whether there are more than zero.
    """
    frame, said = _digits_and_marks(texts)
    if commas is None:
        commas = _more_commas(said) > 0
    decided = frame.with_columns(said.fill_null("," if commas else ".").alias("mark"))
    with_comma = pl.col("text").str.replace_all(".", "", literal=True).str.replace(",", ".")
    with_point = pl.col("text").str.replace_all(",", "", literal=True)
    amount = pl.when(pl.col("mark") == ",").then(with_comma).otherwise(with_point)
    return decided.select(amount.cast(pl.Float64, strict=False).alias(texts.name)).to_series()


def decimal_commas(texts: pl.Series) -> int:
    """How many more of `texts` say that a comma is the decimal mark than say that a point is."""
    return _more_commas(_digits_and_marks(texts)[1])


def _digits_and_marks(texts: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
    """The column `text` without what is no part of a number, and the mark that each says."""
    digits = pl.col("text").cast(pl.String).str.replace_all(_NOT_OF_A_NUMBER, "")
    frame = pl.DataFrame({"text": texts}).select(digits.alias("text"))
    return frame, frame.select(_decimal_mark(pl.col("text")).alias("mark"))["mark"]


def _more_commas(said: pl.Series) -> int:
    return int((said == ",").sum()) - int((said == ".").sum())


def _decimal_mark(text: pl.Expr) -> pl.Expr:
    """The decimal mark, comma or point, where the text says which it is; else null."""
    num_commas = text.str.count_matches(",", literal=True)
    num_points = text.str.count_matches(".", literal=True)
    last_is_comma = text.str.contains(r",[^.,]*$")
    single = (num_commas + num_points) == 1
    of_three = text.str.contains(r"^-?[1-9]\d{0,2}[.,]\d{3}$")
    last = pl.when(last_is_comma).then(pl.lit(",")).otherwise(pl.lit("."))
    return (
        pl.when((num_commas > 0) & (num_points > 0))
        .then(last)
        .when(num_commas > 1)
        .then(pl.lit("."))
        .when(num_points > 1)
        .then(pl.lit(","))
        .when(single & ~of_three)
        .then(last)
    )
