"""params.yaml -> frozen, checked objects. An unknown key is an error that names its neighbours.

Each section is the argument of the stage of the same name. Settings of a tokenizer are
checked by the tokenizer itself (`sidmint.tokenizers`), since only it knows its parts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from sidmint.embedding.settings import EmbedParams
from sidmint.errors import BadInput
from sidmint.execution.settings import ExecutionParams
from sidmint.gate.refreshing import RefreshParams
from sidmint.gate.thresholds import GateParams
from sidmint.layout import Layout, is_address, registry_path, safe_name
from sidmint.settings import Settings, parse_settings
from sidmint.yaml_files import parse_yaml

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class SyntheticParams(Settings):
    """The built-in catalogue, a world where truth is known."""

    num_items: int = Field(3000, ge=100)
    num_users: int = Field(5000, ge=100)
    duplicate_share: Share = 0.03
    new_item_share: Share = 0.03


class IngestParams(Settings):
    """Where items and interactions come from, and how they are filtered and split."""

    source: Literal[
        "synthetic", "table", "amazon_2014", "amazon_2018", "amazon_2023", "movielens"
    ] = "synthetic"
    items: str | None = None
    """File or folder under data/raw (for movielens: the folder of the set)."""
    interactions: str | None = None
    """For `table`, null means that there is no log: ids come from content alone, and what needs
    events is left out and said so."""
    columns: dict[str, str] = Field(default_factory=dict)
    """For `table`: our column -> yours, e.g. {item_id: asin, title: name}."""
    encoding: str = "utf-8"
    """Of CSV and TSV files for `table`: latin-1, cp1252, utf-16 ..., any name that Python knows."""
    id_format: Literal["as_written", "trimmed", "lower", "number"] = "as_written"
    """For `table`: how item ids of log and items are compared; `number` joins 000017 and 17. The
    spelling of the items is kept."""
    min_interactions: int = Field(5, ge=1)
    """K-core: events of users and items with fewer of them are dropped, repeatedly; 1 keeps all.
    It decides what is learned from and what is scored, never which items have an id."""
    item_set: Literal["all", "core"] = "all"
    """`all`: every item of the source gets an id. `core`: only items that the k-core keeps, the
    item set of the papers' benchmarks; the others are dropped and counted."""
    cold_share: Share = 0.05
    """Share of items, newest first, withheld from every training interaction."""
    protocol: Literal["leave_one_out", "time"] = "leave_one_out"
    """`leave_one_out`: a user's last event is test, the one before validation, as in the papers.
    `time`: one cut for all users, as in production; items whose first event lies after it are
    cold, and `cold_share` is 0 then, since time itself withholds them."""
    time_shares: tuple[float, float] = (0.1, 0.1)
    """Under `time`: the shares of events for validation and, after it, for test."""
    tie_order: Literal["file", "shuffled"] = "file"
    """How a user's events of one time stand: as in the file, which a model can learn where the
    file sorts by something, or by a seeded draw."""
    unknown_items: Literal["refuse", "drop"] = "refuse"
    """Events on items that the items table does not have: an error, or left out and counted."""
    unknown_items_limit: Share = 0.05
    """The largest share of events that `drop` leaves out; beyond it the two files do not belong
    together, and it is an error all the same."""
    expected_items: int | None = None
    """The ingest check fails when the count after filtering is another; null does not ask."""
    expected_interactions: int | None = None
    synthetic: SyntheticParams = SyntheticParams()

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding_of_text(cls, name: str) -> str:
        try:
            "".encode(name)
        except LookupError as error:
            raise ValueError(
                f"{name!r} is no encoding of text that Python knows; try latin-1, cp1252, utf-16"
            ) from error
        return name

    @model_validator(mode="after")
    def _own_files_alone_have_forms(self) -> IngestParams:
        if self.source != "table" and (self.encoding, self.id_format) != ("utf-8", "as_written"):
            raise ValueError(
                f"encoding and id_format are of source table, and source is {self.source}; take "
                "them out"
            )
        return self

    @model_validator(mode="after")
    def _one_way_to_withhold(self) -> IngestParams:
        if self.protocol == "time" and self.cold_share:
            raise ValueError("protocol time withholds items by time; set cold_share: 0")
        if min(self.time_shares) <= 0 or sum(self.time_shares) >= 1:
            raise ValueError("time_shares wants two shares above 0 that leave some for training")
        return self


class PairsParams(Settings):
    """Swing on training interactions (QuaSID A.1; Yang et al. 2020)."""

    alpha: float = Field(1.0, gt=0, allow_inf_nan=False)
    user_offset: float = Field(0.0, ge=0, allow_inf_nan=False)
    user_power: float = Field(-0.5, allow_inf_nan=False)
    """Weight of a user: (user_offset + |I_u|) ** user_power."""
    top: int = Field(20, ge=1)
    min_score: float = Field(0.0, allow_inf_nan=False)
    min_common_users: int = Field(2, ge=2)
    max_users_per_item: int = Field(1000, ge=2)
    """Of an item with more users, a seeded sample is read."""


class TrainParams(Settings):
    """Which tokenizers the run builds; each one's settings are under `tokenizers`."""

    tokenizers: tuple[str, ...] = ("rq_kmeans", "rq_vae")
    fit_on: Literal["warm", "known", "all"] = "warm"
    """`warm`: items that may be trained on, the standing `warm` of `contracts.STANDINGS`. `known`:
    all but the withheld items, so also those below the k-core and those without events, whose
    content is known all the same. `all`: the withheld too, which are then no test of new items."""
    fit_rows: int | None = Field(None, ge=1)
    """Most items that a fit reads: a seeded draw, without replacement, from those that `fit_on`
    means; null: all of them. Memory and time of a fit then stop growing with the catalogue; what
    it costs in error stands in docs/SCALE.md."""
    device: str = "auto"
    processes: int = Field(1, ge=1)
    """Processes that share one fit, on this machine; with CUDA each has a device of its own.
    They end with the same codebooks, equal to those of one process up to rounding."""

    @field_validator("tokenizers")
    @classmethod
    def _distinct_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or len(set(names)) != len(names):
            raise ValueError("name at least one tokenizer, each once")
        return tuple(safe_name(name, "tokenizer") for name in names)


class SinkhornParams(Settings):
    """How a bucket is spread, under `resolution: sinkhorn`."""

    epsilon: float = Field(0.003, gt=0, allow_inf_nan=False)
    """Of exp(-d / epsilon), squared distances d being scaled to [-1, 1]: LC-Rec's convention."""
    iterations: int = Field(50, ge=1)
    rounds: int = Field(20, ge=1)
    """Most rounds over the catalogue; a round may bring new collisions."""


class AssignParams(Settings):
    """How colliding codes become unique Semantic IDs."""

    resolution: Literal["suffix", "reassign", "sinkhorn"] = "suffix"
    """`suffix` adds a number, the others move last codes. On Beauty (`rq_kmeans`, 3 x 256, .134
    collisions) `reassign` made all codes unique by moving 13 % of items for 2 % more squared
    error; `sinkhorn` left .0015, moved 23 % and added 29 %: it spreads a bucket over all codes,
    near or far. It is there to compare with LC-Rec."""
    sinkhorn: SinkhornParams = SinkhornParams()

    @model_validator(mode="after")
    def _sinkhorn_has_an_effect(self) -> AssignParams:
        if self.resolution != "sinkhorn" and self.sinkhorn != SinkhornParams():
            raise ValueError(
                f"resolution {self.resolution} makes no use of sinkhorn; take it out, or set "
                "resolution: sinkhorn"
            )
        return self


class DiagnoseParams(Settings):
    """What the diagnostics look at."""

    noise: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0, 2.0)
    """kappa: overlap noise variance as a multiple of the latent variance a dimension."""
    near_duplicate_cosine: float = Field(0.95, gt=0, le=1)
    geometry_sample: int = Field(20_000, ge=100)
    worst_buckets: int = Field(20, ge=1)


class EvaluateParams(Settings):
    """Item-to-item evaluation on held-out events."""

    cutoffs: tuple[int, ...] = (20, 50, 100, 200)
    negatives: int = Field(1, ge=1)
    """Seeded random negatives a case, for the AUCs."""
    most_cases: int | None = Field(None, ge=1)
    """At most so many cases, a seeded draw of all: a search takes cases times items. Null: all."""


class RecommendParams(Settings):
    """The recommender that every table is judged by: what its ids are worth to who uses them."""

    recommender: str = "causal"
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of the recommender; `{}` takes its defaults. The recommender checks them itself."""
    seeds: int = Field(3, ge=1)
    """Trainings a table. Training is a source of variance as large as users are: with one seed
    an interval holds the users' alone, and says so."""
    threads: int = Field(1, ge=1)
    """CPU threads of a training. Steps are small: beside another stage, two threads that wait
    for each other took twice as long as one (58 s and 29 s for the demo's two trainings)."""
    cutoffs: tuple[int, ...] = (5, 10, 20)
    history_masked: bool = False
    """Whether items of a user's own history are left out of the list. TIGER and QuaSID keep
    them in; masking them raises hit rates."""
    credit: Literal["item", "tuple"] = "item"
    """What counts as found: the very item, or any item with its codes before resolution. The
    other one is printed beside it. By tuple, a table that collides looks better than it is."""

    @field_validator("cutoffs")
    @classmethod
    def _ten_is_there(cls, cutoffs: tuple[int, ...]) -> tuple[int, ...]:
        if 10 not in cutoffs or min(cutoffs) < 1:
            raise ValueError("name whole numbers from 1 on, 10 among them: segments are read there")
        return tuple(sorted(set(cutoffs)))


class SegmentsParams(Settings):
    """Items by training interactions: head, torso, tail, and the withheld cold items."""

    head_share: Share = 0.2
    """The most popular share of warm items; the next `torso_share` are torso, the rest tail."""
    torso_share: Share = 0.3
    counts: tuple[int, int] | None = None
    """Bounds by events in place of shares: [100, 600] makes items with fewer than 100 training
    events tail, with fewer than 600 torso, the others head."""
    few_shot: int = Field(5, ge=1)
    """Warm items with at most this many training events are shown once more, as few_shot."""
    allowance: float = Field(0.002, ge=0, allow_inf_nan=False)
    """How much NDCG at 10 a segment may lose against the champion and still be called within
    the allowance. Words on the page; what the gate allows stands under `gate.champion`."""

    @model_validator(mode="after")
    def _bounds_part_the_items(self) -> SegmentsParams:
        if self.counts is not None and not 1 <= self.counts[0] < self.counts[1]:
            raise ValueError(f"counts wants two rising bounds from 1 on, got {list(self.counts)}")
        shares = (self.head_share, self.torso_share)
        if self.counts is not None and shares != (0.2, 0.3):
            raise ValueError("counts takes the place of head_share and torso_share; take them out")
        return self


class ReportParams(Settings):
    """What the page shows."""

    title: str = "Semantic IDs"
    bucket_titles: int = Field(5, ge=1)


class RegistryParams(Settings):
    """Where published versions live."""

    path: str = "registry"
    """A folder of the workspace, registry/NAME, or s3://BUCKET/PREFIX: `layout.registry_path`."""
    model_name: str = "sidmint"
    """Registered model in MLflow."""
    approval: Literal["gate", "person"] = "gate"
    """Whose yes makes a version champion. `gate`: a verdict that passed, or an override, is
    enough. `person`: somebody must approve the proposal too, and `publish` refuses."""

    @field_validator("path")
    @classmethod
    def _is_a_folder_of_its_own(cls, path: str) -> str:
        return registry_path(path)

    @field_validator("model_name")
    @classmethod
    def _names_a_model(cls, name: str) -> str:
        return safe_name(name, "registry.model_name")


class Params(Settings):
    """All of params.yaml."""

    seed: int = Field(7, ge=0)
    ingest: IngestParams = IngestParams()
    embed: EmbedParams = EmbedParams()
    pairs: PairsParams = PairsParams()
    train: TrainParams = TrainParams()
    tokenizers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    assign: AssignParams = AssignParams()
    diagnose: DiagnoseParams = DiagnoseParams()
    evaluate: EvaluateParams = EvaluateParams()
    recommend: RecommendParams | None = None
    """None: no recommender is trained, and no figure of one is shown or gated."""
    segments: SegmentsParams = SegmentsParams()
    report: ReportParams = ReportParams()
    gate: GateParams = GateParams()
    refresh: RefreshParams = RefreshParams()
    registry: RegistryParams = RegistryParams()
    execution: ExecutionParams = ExecutionParams()
    """Where shards are worked on; no result depends on it."""


def load_params(path: Path) -> Params:
    """The checked contents of a params.yaml, which lies at the root of its workspace.

    Raises `BadInput` naming the file, the key and, for an unknown key, the nearest known one.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise BadInput(f"{path} is not there; run inside a workspace") from error
    params = parse_params(parse_yaml(data, str(path)), str(path))
    if not is_address(params.registry.path):
        Layout(path.parent).registry(params.registry.path)  # found before the first stage runs
    return params


def parse_params(values: Any, where: str) -> Params:
    """`values` (the parsed YAML) as `Params`; `where` names them in errors."""
    return parse_settings(Params, values, where)
