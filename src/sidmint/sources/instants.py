"""Times as they come (epoch numbers of any unit, dates, ISO text) as one type: Datetime in UTC."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from sidmint.errors import BadInput

_UNITS: tuple[tuple[float, str, int], ...] = (
    (1e11, "seconds", 1_000_000),
    (1e14, "milliseconds", 1_000),
    (1e17, "microseconds", 1),
)
"""Largest size of a number, its unit, and microseconds in it: 1e11 s is the year 5138, 1e11 ms
is 1973, so no log of our time lies near a border."""

_FIRST, _LAST = -62_135_596_800e6, 253_402_300_799e6
"""Microseconds from 1970 to the years 1 and 9999."""

_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f %#z")
_PLAIN = (
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S%.f",
)
_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%d-%b-%Y", "%m %d, %Y")
"""No form in which day and month could be taken for each other."""


@dataclass(frozen=True)
class TimeForm:
    """How times that are no dates by their type are meant, which the whole column says.

    Forms of pieces join (`and_of`) to that of the column.
    """

    any_text: bool = False
    """Whether a text is no number: then all are read as text."""
    largest: float = 0.0
    """Size of the largest number."""
    num_known: int = 0
    all_days: bool = True
    """Whether every number is a date such as 20240131."""

    @classmethod
    def of(cls, times: pl.Series) -> TimeForm:
        """That of a column, or of a piece."""
        if not (times.dtype == pl.String or times.dtype.is_numeric()):
            return cls()
        numbers = _numbers(times)
        return cls(
            numbers.null_count() > times.null_count(),
            _largest(numbers),
            len(numbers.fill_nan(None).drop_nulls()),
            _are_days(numbers),
        )

    def and_of(self, later: TimeForm) -> TimeForm:
        """With another piece; one without numbers says nothing."""
        pieces = [piece for piece in (self, later) if piece.num_known]
        return TimeForm(
            self.any_text or later.any_text,
            max(self.largest, later.largest),
            self.num_known + later.num_known,
            all(piece.all_days for piece in pieces),
        )

    @property
    def are_days(self) -> bool:
        """Whether numbers are dates and no epoch times."""
        return self.all_days and self.num_known > 0


def as_instants(
    times: pl.Series, where: str, form: TimeForm | None = None, first_row: int = 1
) -> pl.Series:
    """`times` as Datetime("us"), UTC where a zone is known; nulls stay.

    Numbers are epoch times, their unit told by size, or yyyymmdd if every one is such a date.
    Where `times` are a piece of a column, `form` is that of all of it and `first_row` the number
    of their first row. Raises `BadInput` naming the row (from 1) of a text that is no time, and of
    a time outside the years 1 to 9999, which no datetime holds.
    """
    if times.dtype == pl.String or times.dtype.is_numeric():
        form = TimeForm.of(times) if form is None else form
        if not form.any_text:
            return _from_numbers(_numbers(times), times, where, form, first_row)
        return _in_range(_from_text(times, where, first_row), times, where, first_row)
    if isinstance(times.dtype, pl.Datetime):
        if times.dtype.time_zone is not None:
            times = times.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return _in_range(times, times, where, first_row).cast(pl.Datetime("us"))
    if times.dtype == pl.Date:
        return _in_range(times, times, where, first_row).cast(pl.Datetime("us"))
    if times.dtype == pl.Null:
        return times.cast(pl.Datetime("us"))
    raise BadInput(
        f"{where}: the column {times.name} of type {times.dtype} is no time; give epoch numbers, "
        "ISO text, dates or datetimes"
    )


def time_unit(times: pl.Series) -> str:
    """In words, how `as_instants` reads `times`."""
    if not (times.dtype == pl.String or times.dtype.is_numeric()):
        return "dates" if times.dtype == pl.Date else "datetimes"
    form = TimeForm.of(times)
    if form.any_text:
        return "ISO text"
    return "days as yyyymmdd" if form.are_days else f"epoch {_unit(form.largest)[0]}"


def _numbers(times: pl.Series) -> pl.Series:
    """Texts or numbers as floats, null where a text is none."""
    if times.dtype == pl.String:
        times = times.str.strip_chars()
    return times.cast(pl.Float64, strict=False)


def _from_numbers(
    numbers: pl.Series, times: pl.Series, where: str, form: TimeForm, first_row: int
) -> pl.Series:
    """Instants of epoch `numbers`; `times` are these as they came, for the error."""
    numbers = numbers.fill_nan(None)
    if form.are_days:
        return _days(numbers)
    micros = numbers * _unit(form.largest)[1]
    _require_none(~micros.is_between(_FIRST, _LAST), times, where, first_row)
    return micros.round().cast(pl.Int64).cast(pl.Datetime("us"))


def _in_range(instants: pl.Series, times: pl.Series, where: str, first_row: int) -> pl.Series:
    """`instants` (dates or datetimes), all within the years that a datetime holds."""
    per_unit = {"ms": 1_000.0, "us": 1.0, "ns": 1e-3}
    unit = getattr(instants.dtype, "time_unit", None)
    micros = instants.to_physical().cast(pl.Float64) * (per_unit[unit] if unit else 86_400e6)
    _require_none(~micros.is_between(_FIRST, _LAST), times, where, first_row)
    return instants


def _require_none(outside: pl.Series, times: pl.Series, where: str, first_row: int) -> None:
    outside = outside.fill_null(False)
    if outside.any():
        row = int(outside.arg_true()[0])
        raise BadInput(
            f"{where}: row {row + first_row} has a {times.name} outside the years 1 to 9999 "
            f"({outside.sum():,} such rows); give epoch numbers, dates or ISO text of real times"
        )


def _largest(numbers: pl.Series) -> float:
    return numbers.fill_nan(None).abs().max() or 0.0  # type: ignore[return-value]


def _unit(largest: float) -> tuple[str, float]:
    for bound, name, micros in _UNITS:
        if largest < bound:
            return name, micros
    return "nanoseconds", 1e-3


def _are_days(numbers: pl.Series) -> bool:
    """Whether all are numbers like 20240131, which as epoch seconds lie in 1970."""
    known = numbers.fill_nan(None).drop_nulls()
    if known.is_empty() or not known.is_between(19_700_101, 21_001_231).all():
        return False
    return not _days(known).null_count()


def _days(numbers: pl.Series) -> pl.Series:
    written = numbers.cast(pl.Int64).cast(pl.String)
    return written.str.to_date("%Y%m%d", strict=False).cast(pl.Datetime("us"))


def _from_text(times: pl.Series, where: str, first_row: int) -> pl.Series:
    text = times.str.strip_chars().str.replace(r"([\d.])\s*(Z|UTC)$", "${1}+00:00")
    naive = pl.Datetime("us")
    zoned = pl.Datetime("us", "UTC")
    readings = [
        *(text.str.to_datetime(f, time_unit="us", strict=False) for f in _PLAIN),
        *(text.str.to_date(f, strict=False).cast(naive) for f in _DAYS),
        *(
            text.str.to_datetime(f, time_unit="us", time_zone="UTC", strict=False)
            .cast(zoned)
            .dt.replace_time_zone(None)
            for f in _ZONED
        ),
    ]
    found = pl.select(pl.coalesce(readings).alias(times.name)).to_series()
    bad = found.is_null() & times.is_not_null()
    if bad.any():
        row = int(bad.arg_true()[0])
        raise BadInput(
            f"{where}: row {row + first_row} has {times.name} {times[row]!r}, which is no time "
            f"({bad.sum()} such rows); give epoch numbers or ISO text such as 2024-01-31 13:45:00"
        )
    return found
