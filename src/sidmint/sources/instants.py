"""Times as they come (epoch numbers of any unit, dates, ISO text) as one type: Datetime in UTC."""

from __future__ import annotations

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


def as_instants(times: pl.Series, where: str) -> pl.Series:
    """`times` as Datetime("us"), UTC where a zone is known; nulls stay.

    Numbers are epoch times, their unit told by size, or yyyymmdd if every one is such a date.
    Raises `BadInput` naming the row (from 1) of a text that is no time, and of a time outside the
    years 1 to 9999, which no datetime holds.
    """
    if times.dtype == pl.String:
        numbers = times.str.strip_chars().cast(pl.Float64, strict=False)
        if numbers.null_count() == times.null_count():
            return _from_numbers(numbers, times, where)
        return _in_range(_from_text(times, where), times, where)
    if times.dtype.is_numeric():
        return _from_numbers(times.cast(pl.Float64), times, where)
    if isinstance(times.dtype, pl.Datetime):
        if times.dtype.time_zone is not None:
            times = times.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return _in_range(times, times, where).cast(pl.Datetime("us"))
    if times.dtype == pl.Date:
        return _in_range(times, times, where).cast(pl.Datetime("us"))
    if times.dtype == pl.Null:
        return times.cast(pl.Datetime("us"))
    raise BadInput(
        f"{where}: the column {times.name} of type {times.dtype} is no time; give epoch numbers, "
        "ISO text, dates or datetimes"
    )


def time_unit(times: pl.Series) -> str:
    """In words, how `as_instants` reads `times`."""
    if times.dtype == pl.String:
        numbers = times.str.strip_chars().cast(pl.Float64, strict=False)
        return "ISO text" if numbers.null_count() > times.null_count() else time_unit(numbers)
    if not times.dtype.is_numeric():
        return "dates" if times.dtype == pl.Date else "datetimes"
    if _as_days(times.cast(pl.Float64)) is not None:
        return "days as yyyymmdd"
    return f"epoch {_unit(times.cast(pl.Float64))[0]}"


def _from_numbers(numbers: pl.Series, times: pl.Series, where: str) -> pl.Series:
    """Instants of epoch `numbers`; `times` are these as they came, for the error."""
    numbers = numbers.fill_nan(None)
    days = _as_days(numbers)
    if days is not None:
        return days
    micros = numbers * _unit(numbers)[1]
    _require_none(~micros.is_between(_FIRST, _LAST), times, where)
    return micros.round().cast(pl.Int64).cast(pl.Datetime("us"))


def _in_range(instants: pl.Series, times: pl.Series, where: str) -> pl.Series:
    """`instants` (dates or datetimes), all within the years that a datetime holds."""
    per_unit = {"ms": 1_000.0, "us": 1.0, "ns": 1e-3}
    unit = getattr(instants.dtype, "time_unit", None)
    micros = instants.to_physical().cast(pl.Float64) * (per_unit[unit] if unit else 86_400e6)
    _require_none(~micros.is_between(_FIRST, _LAST), times, where)
    return instants


def _require_none(outside: pl.Series, times: pl.Series, where: str) -> None:
    outside = outside.fill_null(False)
    if outside.any():
        row = int(outside.arg_true()[0])
        raise BadInput(
            f"{where}: row {row + 1} has a {times.name} outside the years 1 to 9999 "
            f"({outside.sum():,} such rows); give epoch numbers, dates or ISO text of real times"
        )


def _unit(numbers: pl.Series) -> tuple[str, float]:
    largest = numbers.fill_nan(None).abs().max() or 0.0
    for bound, name, micros in _UNITS:
        if largest < bound:  # type: ignore[operator]
            return name, micros
    return "nanoseconds", 1e-3


def _as_days(numbers: pl.Series) -> pl.Series | None:
    """Numbers like 20240131 as times, or None if any is not: as epoch seconds they lie in 1970."""
    known = numbers.fill_nan(None).drop_nulls()
    if known.is_empty() or not known.is_between(19_700_101, 21_001_231).all():
        return None
    days = numbers.fill_nan(None).cast(pl.Int64).cast(pl.String).str.to_date("%Y%m%d", strict=False)
    return None if days.null_count() > len(numbers) - len(known) else days.cast(pl.Datetime("us"))


def _from_text(times: pl.Series, where: str) -> pl.Series:
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
            f"{where}: row {row + 1} has {times.name} {times[row]!r}, which is no time "
            f"({bad.sum()} such rows); give epoch numbers or ISO text such as 2024-01-31 13:45:00"
        )
    return found
