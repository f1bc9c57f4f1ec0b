"""What `sidmint choose` reads of a workspace: vectors, questions, champion, how the gate judges."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.cli.output import errors, warn
from sidmint.cli.workspace import Workspace
from sidmint.errors import BadInput, Refused

if TYPE_CHECKING:
    from sidmint.choosing.choice import Judging, Objections
    from sidmint.choosing.questions import Catalogue, Questions
    from sidmint.choosing.sizes import Sizes
    from sidmint.types import Codes, Floats, Ints

BEFORE = ("ingest", "embed", "pairs")
"""The stages whose outputs tries read."""

_USUAL_CUTOFF, _CONTENT_CUTOFF = 100, 10
_LEAST_SHARE = 10  # a list is at most a tenth of the catalogue: longer ones tell little apart
_RECOMMENDER = {
    "recommender": "causal",
    "settings": {"width": 32, "hidden": 64, "heads": 2, "layers": 1, "epochs": 8, "beam": 20},
}
"""Where params.yaml names none: the small one of the built-in catalogue."""


def prepare(here: Workspace) -> None:
    """Bring ingest, embed and pairs up to date through DVC, as `sidmint run` would.

    In a folder that is not under DVC what is there is taken as it is.
    """
    from sidmint.adapters.dvc_repo import read_plan, repro_command, repro_environment, stage_of
    from sidmint.cli.build import bring_level

    root = here.layout.root
    if not (root / ".dvc").is_dir():
        return
    bring_level(here)
    plan = read_plan(root)
    wanted = [node for node in plan.graph.nodes if stage_of(node) in BEFORE]
    above = {each for node in wanted for each in plan.graph.upstream[node]}
    nodes = [node for node in plan.graph.nodes if node in wanted or node in above]
    if not any(node in plan.stale for node in nodes):
        return
    for node in nodes:
        errors.print(f"bringing {node} up to date", markup=False, soft_wrap=True)
        ended = subprocess.run(
            repro_command(node, root),
            cwd=root,
            env=repro_environment(),
            capture_output=True,
            text=True,
        )
        if ended.returncode:
            said = (ended.stderr.strip() or ended.stdout.strip()).splitlines()
            raise Refused(f"{node} failed: {' / '.join(said[-6:])}; `sidmint run` says more of it")


def read_catalogue(here: Workspace) -> Catalogue:
    """The catalogue of the workspace; `BadInput` where ingest, embed or pairs have not run."""
    from sidmint.choosing.questions import Catalogue
    from sidmint.contracts import Items
    from sidmint.seeds import seed_for
    from sidmint.stages.train import drawn_rows, fitted_rows
    from sidmint.tokenizers import check_vectors

    artifacts, params = here.artifacts, here.params
    embeddings = artifacts.embeddings()
    vectors = check_vectors(embeddings.vectors, item_ids=embeddings.item_ids)
    items = artifacts.items()
    categories = None
    if Items.CATEGORIES in items.columns:
        categories = tuple(items[Items.CATEGORIES].cast(pl.String).to_list())
    champion = _champion(here, embeddings.item_ids)
    wanted, drawing = fitted_rows(artifacts, params.train.fit_on), params.train.fit_rows
    return Catalogue(
        vectors=vectors,
        fitted=drawn_rows(wanted, drawing, seed_for(params.seed, "train", "rows")),
        pairs=artifacts.pairs(),
        categories=categories,
        questions=_questions(here, vectors),
        near_duplicate_cosine=params.diagnose.near_duplicate_cosine,
        champion=champion,
        device=params.train.device,
    )


def own_sizes(here: Workspace) -> Sizes | None:
    """Sizes of the first tokenizer that params.yaml trains; None where it names none of its own."""
    first = here.params.train.tokenizers[0]
    sizes = here.params.tokenizers.get(first, {}).get("sizes")
    return tuple(int(size) for size in sizes) if sizes else None


def how_the_gate_judges(here: Workspace) -> Objections:
    """The critical rules of params.yaml, and those beside the champion that need no cases."""
    from sidmint.choosing.objections import objections
    from sidmint.publishing.snapshot import read_champion

    champion = read_champion(here.layout) if here.layout.champion.is_file() else None

    def judge(metrics: Mapping[str, float], num_levels: int) -> tuple[str, ...]:
        return objections(here.params.gate, metrics, num_levels, champion)

    return judge


def judging(here: Workspace) -> Judging:
    """The recommender of params.yaml, else the small causal one; `BadInput` without a log."""
    from sidmint.choosing.choice import Judging
    from sidmint.contracts import NO_LOG
    from sidmint.evaluation.comparison import per_user
    from sidmint.evaluation.recommendation import gains
    from sidmint.params import RecommendParams
    from sidmint.seeds import seed_for
    from sidmint.semantic_ids import resolve_by_suffix
    from sidmint.stages.encoding_rows import id_table
    from sidmint.stages.recommend import places_of

    artifacts, params = here.artifacts, here.params
    if not artifacts.has_log():
        raise BadInput(f"--with-recommender wants events to learn from, and {NO_LOG}")
    settings = params.recommend or RecommendParams.model_validate(_RECOMMENDER)
    item_ids = tuple(artifacts.items()["item_id"].to_list())

    def ask(codes: Codes, seed: int) -> npt.NDArray[np.float64]:
        published = id_table(item_ids, resolve_by_suffix(codes, item_ids))
        number = seed_for(params.seed, "recommend", str(seed))
        users, places = places_of(settings, number, params.train.device, artifacts, published)
        return np.asarray(per_user(users, gains(places, 10)[None])[1][0])

    return Judging(
        name=settings.recommender,
        settings={"recommender": settings.recommender, **settings.settings},
        ask=ask,
        folder=here.layout.tries,
        tell=lambda text: errors.print(text, markup=False, soft_wrap=True),
    )


def _questions(here: Workspace, vectors: Floats) -> Questions:
    """Held-out events, as `evaluate` asks them; where there are none to speak of, neighbours."""
    from sidmint.choosing.questions import MOST_CASES, Questions, neighbour_cases, sampled
    from sidmint.evaluation.arms import FEWEST_USERS
    from sidmint.seeds import generator_for
    from sidmint.stages.evaluate import test_cases

    seed, longest = here.params.seed, max(1, len(vectors) // _LEAST_SHARE)
    if here.artifacts.has_log():
        cases = test_cases(here.artifacts)[1]
        if cases.users is not None and len(np.unique(cases.users)) >= FEWEST_USERS:
            cases = sampled(cases, MOST_CASES, generator_for(seed, "choose", "cases"))
            return Questions(cases, min(_asked_cutoff(here), longest))
        warn(
            f"fewer than {FEWEST_USERS} users have held-out events: candidates are asked for the "
            "nearest neighbours of items instead"
        )
    cases = neighbour_cases(vectors, generator_for(seed, "choose", "neighbours"))
    return Questions(cases, min(_CONTENT_CUTOFF, longest), by_content=True)


def _asked_cutoff(here: Workspace) -> int:
    """The K of the metric that decides, retention_at_K and the like; else the usual one."""
    named = here.params.gate.select_by.rpartition("_at_")[2]
    return int(named) if named.isdecimal() else _USUAL_CUTOFF


def _champion(here: Workspace, item_ids: tuple[str, ...]) -> Ints | None:
    """The champion's codes (N, L) in the order of the items, -1 for items that it lacks."""
    from sidmint.contracts import SemanticIds
    from sidmint.publishing.snapshot import champion_ids

    table = champion_ids(here.layout)
    if table is None:
        return None
    columns = [name for name in table.columns if name.startswith("code_")]
    rows = pl.DataFrame({SemanticIds.ITEM_ID: list(item_ids)}).join(
        table, on=SemanticIds.ITEM_ID, how="left", maintain_order="left"
    )
    return rows.select(columns).fill_null(-1).to_numpy().astype(np.int32)
