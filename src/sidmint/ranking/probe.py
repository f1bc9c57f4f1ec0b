"""How a table of ids serves a click model: one model, one budget, six representations of items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from sidmint.evaluation import SEGMENTS, assign_segments, segments_by_count
from sidmint.progress import Track, silent
from sidmint.ranking.click_model import (
    ClickSettings,
    build_click_model,
    click_probabilities,
    fit_clicks,
    num_parameters,
    rows_within,
)
from sidmint.ranking.copies import Pairs2, copied_pairs, probability_gap, strangers
from sidmint.ranking.examples import ClickLog, Examples, require_honest, split_examples
from sidmint.ranking.reading import AGES, Reading, item_ages, read, read_by, same_click_auc
from sidmint.ranking.representations import REPRESENTATIONS, ItemTable
from sidmint.settings import Settings
from sidmint.types import Codes, Floats

RESULT_VERSION = 2
"""Raised when figures would change; rows of docs/RANKING.md carry it."""
ITEMS_A_ROW = 4
"""Items that share a row of `hashed_id` on the average, unless a budget says otherwise."""


class ProbeSettings(Settings):
    """What is asked, and of which model."""

    clicks: ClickSettings = ClickSettings()
    num_parameters: int | None = Field(None, ge=1)
    """Of each model, at most. None: `budget_for` with four items a row of `hashed_id`; in
    production ids outnumber rows as well."""
    num_negatives: int = Field(4, ge=1)
    test_share: float = Field(0.2, gt=0, lt=1)
    """Of the events, the newest."""
    new_share: float = Field(0.1, ge=0, le=1)
    """Items first clicked in this last share of the time before the cut are new."""
    head_share: float = Field(0.2, ge=0, le=1)
    torso_share: float = Field(0.3, ge=0, le=1)
    counts: tuple[int, int] | None = None
    """Both and this as in `segments`, by clicks before the cut: shares of items, or bounds."""
    copy_cosine: float = Field(0.95, gt=0, le=1)
    """Vectors this near are of one item, listed twice or nearly so."""


@dataclass(frozen=True)
class ProbeWorld:
    """What every representation is asked: the same items, examples, groups and pairs."""

    items: ItemTable
    cut: int
    train: Examples
    test: Examples
    ages: npt.NDArray[np.int8]
    frequencies: npt.NDArray[np.int8]
    copies: Pairs2
    budget: int


@dataclass(frozen=True)
class RepresentationScore:
    """One representation: its size, its figures over the test, by age and by frequency.

    `same_click` is the AUC among the candidates of one click, over all, by age and by frequency.
    `copy_gap` is the mean |p(i) - p(copy of i)|, `stranger_gap` that of i and a random item;
    both are None in a catalogue without copies.
    """

    name: str
    num_parameters: int
    width: int
    overall: Reading
    by_age: Mapping[str, Reading]
    by_frequency: Mapping[str, Reading]
    same_click: Mapping[str, float | None]
    copy_gap: float | None
    stranger_gap: float | None


@dataclass(frozen=True)
class RankingProbe:
    """Scores by representation, and what they were measured on.

    `copies_of_one_code` is the share of copied pairs that the tokenizer gave one code, None
    without copies.
    """

    cut: int
    num_parameters: int
    num_train_clicks: int
    num_test_clicks: int
    num_unseen_items: int
    num_copies: int
    copies_of_one_code: float | None
    scores: tuple[RepresentationScore, ...]


def probe_world(
    codes: Codes, vectors: Floats, log: ClickLog, settings: ProbeSettings, seed: int
) -> ProbeWorld:
    """The question, before anybody answers it; negatives and pairs are drawn by `seed`."""
    cut = log.cut(settings.test_share)
    train, test = split_examples(
        log,
        cut,
        num_negatives=settings.num_negatives,
        history=settings.clicks.history,
        seed=seed,
    )
    require_honest(train, test, cut)
    num_train = np.bincount(log.items[log.times < cut], minlength=log.num_items)
    return ProbeWorld(
        ItemTable(codes, vectors, num_train),
        cut,
        train,
        test,
        item_ages(log.first_times, cut, settings.new_share),
        _frequencies(num_train, settings),
        copied_pairs(vectors, settings.copy_cosine, seed),
        settings.num_parameters or budget_for(log.num_items, ITEMS_A_ROW, settings.clicks),
    )


def probe_representation(
    world: ProbeWorld, name: str, settings: ProbeSettings, seed: int, track: Track = silent
) -> RepresentationScore:
    """Train the click model on one representation, before the cut, and ask it after."""
    clicks = settings.clicks
    items = REPRESENTATIONS[name](world.items, rows_within(world.budget, clicks), seed)
    model = build_click_model(items, world.budget, clicks, seed)
    fit_clicks(model, world.train, clicks, seed, name, track)
    history, candidates = world.test.history_items, world.test.candidates
    probabilities = click_probabilities(model, history, candidates)
    clicked = np.zeros(candidates.shape, dtype=bool)
    clicked[:, 0] = True
    pairs = world.copies
    others = strangers(pairs, len(world.items), seed)
    return RepresentationScore(
        name,
        num_parameters(model),
        model.width,
        read(clicked, probabilities),
        read_by(AGES, world.ages[candidates], clicked, probabilities),
        read_by(SEGMENTS, world.frequencies[candidates], clicked, probabilities),
        _same_click(world, probabilities),
        probability_gap(model, history, pairs) if len(pairs) else None,
        probability_gap(model, history, others) if len(pairs) else None,
    )


def ranking_probe(
    codes: Codes,
    vectors: Floats,
    log: ClickLog,
    settings: ProbeSettings | None = None,
    *,
    seed: int,
    names: Iterable[str] = REPRESENTATIONS,
    track: Track = silent,
) -> RankingProbe:
    """`RankingProbe` of `codes` (N, L) made of `vectors` (N, D), over the clicks of `log`.

    Every representation has the same model, at most the same number of parameters, the same
    examples in the same order. A tokenizer that has read pairs of items from events after the
    cut knows the answers: fit it on events before. One seed says little; differences smaller
    than those between seeds say nothing.
    """
    settings = settings or ProbeSettings()
    world = probe_world(codes, vectors, log, settings, seed)
    scores = tuple(probe_representation(world, name, settings, seed, track) for name in names)
    return summarized(world, scores)


def summarized(world: ProbeWorld, scores: Iterable[RepresentationScore]) -> RankingProbe:
    """Scores beside the facts of the world that they were measured in."""
    left, right = (world.items.codes.values[side] for side in world.copies.T)
    return RankingProbe(
        world.cut,
        world.budget,
        len(world.train),
        len(world.test),
        int((world.items.num_train == 0).sum()),
        len(world.copies),
        float((left == right).all(axis=1).mean()) if len(left) else None,
        tuple(scores),
    )


def _same_click(
    world: ProbeWorld, probabilities: npt.NDArray[np.float64]
) -> dict[str, float | None]:
    ages, frequencies = (kind[world.test.candidates] for kind in (world.ages, world.frequencies))
    groups = {"all": np.ones(probabilities.shape, dtype=bool)}
    groups |= {name: ages == at for at, name in enumerate(AGES)}
    groups |= {name: frequencies == at for at, name in enumerate(SEGMENTS)}
    return {name: same_click_auc(probabilities, among) for name, among in groups.items()}


def _frequencies(num_train: npt.NDArray[np.int64], settings: ProbeSettings) -> npt.NDArray[np.int8]:
    """Segment (N,) of each item; those unseen are cold."""
    if settings.counts is not None:
        return segments_by_count(num_train, num_train == 0, settings.counts)
    return assign_segments(num_train, num_train == 0, settings.head_share, settings.torso_share)


def budget_for(num_items: int, items_a_row: float, clicks: ClickSettings) -> int:
    """Parameters of the model whose `hashed_id` has a row for every `items_a_row` items.

    A row is `clicks.width` numbers and one more that counts alone.
    """
    head = clicks.hidden * (3 * clicks.width + 2) + 2
    return max(2, int(num_items / items_a_row)) * (clicks.width + 1) + head
