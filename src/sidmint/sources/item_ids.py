"""The same item under two spellings: `000017` in one file, `17` in the other.

A form is a way to write an id that both files agree on. Forms join the log to the items; what is
published is the spelling of the items file.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from sidmint.errors import BadInput
from sidmint.outside import as_text, whole_as_integers

AS_WRITTEN = "as_written"

FORMS: dict[str, tuple[Callable[[pl.Expr], pl.Expr], str]] = {
    AS_WRITTEN: (lambda ids: ids, "as they are written"),
    "trimmed": (lambda ids: ids.str.strip_chars(), "without the space around them"),
    "lower": (lambda ids: ids.str.strip_chars().str.to_lowercase(), "in lower case, trimmed"),
    "number": (
        lambda ids: ids.str.strip_chars().str.replace(r"^0*(\d+)(?:\.0*)?$", "$1"),
        "as whole numbers without leading zeros, where they are numbers",
    ),
}
"""`ingest.id_format` -> how an id is written so, and in words."""


def in_form(ids: pl.Series, form: str) -> pl.Series:
    """`ids` (text) in `form`; what is no number stays as it is under `number`."""
    written = pl.DataFrame({"id": _plain(ids)})
    return written.select(FORMS[form][0](pl.col("id"))).to_series()


def coverage(item_ids: pl.Series, event_item_ids: pl.Series, form: str = AS_WRITTEN) -> float:
    """Share of the events whose item id is, in `form`, one of `item_ids`."""
    if item_ids.dtype.is_nested() or event_item_ids.dtype.is_nested() or not len(event_item_ids):
        return 0.0
    known = in_form(item_ids, form).unique().implode()
    return float(in_form(event_item_ids, form).is_in(known).mean() or 0.0)  # type: ignore[arg-type]


def better_form(item_ids: pl.Series, event_item_ids: pl.Series) -> tuple[str, float] | None:
    """The form in which most events are on known items, and their share; None: no form helps.

    Of equals the first in `FORMS`, which changes least.
    """
    shares = {form: coverage(item_ids, event_item_ids, form) for form in FORMS}
    best = max(shares, key=lambda form: shares[form])
    return (best, shares[best]) if shares[best] > shares[AS_WRITTEN] else None


def form_in_words(item_ids: pl.Series, event_item_ids: pl.Series) -> str:
    """What form would join the two files and by how much, for the end of an error; else ""."""
    better = better_form(item_ids, event_item_ids)
    if better is None:
        return ""
    form, share = better
    return (
        f"`sidmint init --id-format {form}` (ingest.id_format) compares ids {FORMS[form][1]}: then "
        f"{share:.1%} of the interactions are on known items, now "
        f"{coverage(item_ids, event_item_ids):.1%} are"
    )


def joined(event_item_ids: pl.Series, item_ids: pl.Series, form: str, name: str) -> pl.Series:
    """Item ids of the events in the spelling of the items, where they are one in `form`.

    An id that no item has stays as it is. Raises `BadInput` naming two items (of the table
    `name`) that are one in `form`: nobody knows then which of them is meant.
    """
    if form == AS_WRITTEN:
        return event_item_ids
    spelled = spellings(item_ids, form, name)
    events = pl.DataFrame({"form": in_form(event_item_ids, form), "own": _plain(event_item_ids)})
    found = events.join(spelled, on="form", how="left", maintain_order="left")
    return found.select(pl.coalesce("spelled", "own").alias(event_item_ids.name)).to_series()


def spellings(item_ids: pl.Series, form: str, name: str) -> pl.DataFrame:
    """Each item id `spelled` and in `form`; `BadInput` as `joined` raises it."""
    spelled = pl.DataFrame({"form": in_form(item_ids, form), "spelled": _plain(item_ids)})
    twice = spelled.filter(pl.col("form").is_duplicated() & pl.col("form").is_not_null())
    if twice.height:
        both = twice.filter(form=twice["form"][0])["spelled"].to_list()[:2]
        raise BadInput(
            f"{name}: the ids {both[0]!r} and {both[1]!r} are one id under ingest.id_format {form} "
            f"({twice['form'].n_unique()} such ids); take the setting out, or mend the ids"
        )
    return spelled


def _plain(ids: pl.Series) -> pl.Series:
    """Ids as text; floats that are all whole, as Pandas makes of ids with gaps, as integers."""
    return as_text(whole_as_integers(ids), "the item ids")
