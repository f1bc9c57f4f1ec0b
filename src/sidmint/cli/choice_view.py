"""A choice as the page shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sidmint.choosing.candidates import LeftOut
    from sidmint.choosing.choice import Choice, Objections, Sizing
    from sidmint.choosing.recommendation import Recommendation, Standing
    from sidmint.reporting.choice_page import ChoicePage, Final, TryLine


def page_of(
    choice: Choice,
    objections: Objections,
    title: str,
    minutes: float,
    num_seeds: int,
    num_made: int,
) -> ChoicePage:
    """What `render_choice` shows of `choice`; `objections` are the gate's."""
    from sidmint.choosing.sizes import collision_rate, in_words
    from sidmint.reporting.choice_page import ChoicePage

    said, sizing = choice.recommendation, choice.sizing
    num_distinct = round((1 - sizing.floor) * sizing.num_items)
    sizes = tuple(
        (in_words(each.sizes), each.reason, collision_rate(num_distinct, _capacity(each.sizes)))
        for each in sizing.proposals
    )
    finals = _finals(choice)
    return ChoicePage(
        title=title,
        sentence=said.sentence,
        reason=said.reason,
        uncertainty=said.uncertainty,
        quality=choice.quality,
        retention=_retention_words(choice),
        is_refused=said.chosen is None,
        command="sidmint choose --apply" if said.chosen else "",
        num_items=sizing.num_items,
        floor=sizing.floor,
        sizing=_sizing(sizing),
        sizes=sizes,
        finals=finals,
        tries=tuple(_tries(choice, objections)),
        left_out=tuple(_by_reason(choice.left_out)),
        has_champion=any("aligned_churn" in one.metrics for one in finals),
        budget=_budget(choice, minutes, num_seeds, num_made),
    )


def _budget(choice: Choice, minutes: float, num_seeds: int, num_made: int) -> str:
    """What all of it took, tries of earlier runs among it."""
    rows = [row for rung in choice.race.rungs for row in rung]
    rows += [tried.row for each in choice.race.finalists for tried in each.tries]
    seconds = {row.key: row.seconds for row in rows}
    text = f"{len(seconds)} tries took {sum(seconds.values()) / 60:.0f} minutes"
    if num_made:
        text += f"; this run made {num_made} in {choice.race.seconds / 60:.1f} of {minutes:g}"
    return f"{text}. A finalist is fitted with {num_seeds} seeds where the time allows."


def _capacity(sizes: tuple[int, ...]) -> float:
    import math

    return float(math.prod(sizes))


def _retention_words(choice: Choice) -> str:
    if choice.downstream is None:
        return choice.quality
    return "retention, the score that every try has"


def _sizing(sizing: Sizing) -> str:
    how = "a pilot fit of rq_kmeans makes use of" if sizing.is_measured else "tokenizers mostly use"
    return (
        f"{sizing.num_items:,} items, of which equal vectors force a collision rate of "
        f"{sizing.floor:.2%}. Codes drawn evenly (balls in bins) are the best case; "
        f"{how} {sizing.used:.0%} of the bits."
    )


def _finals(choice: Choice) -> tuple[Final, ...]:
    from sidmint.reporting.choice_page import Final, front

    said = choice.recommendation
    retention = {one.label: one.quality for one in choice.by_retention.standings}
    on_front = front(
        [
            (one.quality, one.scored.metrics["id_bits"], one.scored.metrics["collision_rate"])
            for one in said.standings
        ]
    )
    return tuple(
        Final(
            label=one.label,
            name=one.scored.candidate.name,
            quality=one.quality,
            difference="" if one is said.leader else one.words,
            word=_word(one, said),
            low=one.quality + one.low - one.difference,
            high=one.quality + one.high - one.difference,
            retention=retention[one.label],
            seconds=one.scored.seconds,
            num_seeds=len(one.scored.scores),
            metrics=dict(one.scored.metrics),
            objections=one.scored.objections,
            is_chosen=one is said.chosen,
            is_on_front=is_on_front,
        )
        for one, is_on_front in zip(said.standings, on_front, strict=True)
    )


def _word(one: Standing, said: Recommendation) -> str:
    if one is said.leader:
        return "leads"
    return one.outcome if one.is_told_apart else "cannot be told apart"


def _tries(choice: Choice, objections: Objections) -> Iterator[TryLine]:
    from sidmint.choosing.sizes import in_words
    from sidmint.reporting.choice_page import TryLine

    for number, rows in enumerate(choice.race.rungs, start=1):
        for row in sorted(rows, key=lambda row: -(row.quality or 0.0)):
            yield TryLine(
                label=f"{row.name} {in_words(row.sizes)}",
                name=row.name,
                rung=str(number),
                num_fitted=row.num_fitted,
                quality=row.quality,
                collision_rate=row.metrics.get("collision_rate"),
                id_bits=row.metrics.get("id_bits"),
                seconds=row.seconds,
                failed=row.failed or "",
                objection=next(iter(objections(row.metrics, len(row.sizes))), ""),
            )


def _by_reason(left_out: Sequence[LeftOut]) -> Iterator[tuple[str, tuple[str, ...]]]:
    reasons = dict.fromkeys(each.reason for each in left_out)
    for reason in reasons:
        yield reason, tuple(each.label for each in left_out if each.reason == reason)
