"""What is compared: a name in the table -> settings as under `tokenizers` in params.yaml."""

from __future__ import annotations

from typing import Any

from sidmint.settings import Settings

SIZES = [256, 256, 256]
BASELINES = ("rq_vae", "improved_vqgan", "grvq", "rq_opq", "rq_vae_rotation", "sim_rq")
"""The six gradient baselines of QuaSID Table 3."""
TRAINED = {"rq_opq": {"encoder": "mlp"}}
"""What a baseline needs so that a loss can attach to it."""
JOINT = [{"name": "reconstruction"}, {"name": "commitment"}]
HAMR = {"name": "hamr", "weight": 10.0}
INFO_NCE = {"name": "info_nce", "weight": 0.02}
"""As in the defaults of `quasid`."""
DRQ = ("rq_vae", "rqp_vae", "rq_kmeans", "drq_vae", "drq_vae_cl")
"""The five tokenizers of DRQ Tables 1-5."""

CONTROLS = ("random", "lsh", "category")
RUNS: dict[str, dict[str, Any]] = {
    "random": {},
    "lsh": {},
    "category": {},
    "opq": {},
    "opq_32": {"type": "opq", "sizes": [256] * 32},
    "pq": {},
    "rq_kmeans": {},
    "rq_kmeans_balanced": {"type": "rq_kmeans", "balance": 1.5},
    "rq_kmeans_aligned": {"type": "rq_kmeans", "align": {}},
    "rq_opq": {},
    "fsq": {},
    "letter": {},
    "rq_gmm": {},
    "rq_vae": {},
    "rq_vae_latents_start": {"type": "rq_vae", "start": "latents"},
    "rq_vae_gumbel": {"type": "rq_vae", "gumbel": {}},
    "rq_vae_entropy": {
        "type": "rq_vae",
        "losses": [*JOINT, {"name": "entropy", "weight": 0.02}],
    },
    "rqp_vae": {},
    "drq_vae": {},
    "drq_vae_balanced": {"type": "drq_vae", "balance": 1.5},
    "drq_vae_cl": {},
    "grvq": {},
    "improved_vqgan": {},
    "rq_vae_rotation": {},
    "sim_rq": {},
    "rq_opq_mlp": {"type": "rq_opq", **TRAINED["rq_opq"]},
    "quasid": {},
    "quasid_without_cvpm": {
        "type": "quasid",
        "losses": [*JOINT, {**HAMR, "cvpm": False}, INFO_NCE],
    },
    "quasid_without_hamr": {"type": "quasid", "losses": [*JOINT, INFO_NCE]},
    **{
        f"{name}+hamr": {
            "type": name,
            **TRAINED.get(name, {}),
            "validation_share": 0.01,
            "losses": [*JOINT, HAMR],
        }
        for name in BASELINES
    },
}
for _settings in RUNS.values():
    _settings.setdefault("sizes", SIZES)


def settings_of(name: str, config: Settings) -> dict[str, Any]:
    """What a row says of its tokenizer: type and whole config, defaults included."""
    return {"type": type_of(name), **config.model_dump(mode="json")}


def type_of(name: str) -> str:
    """The tokenizer that the run `name` is of."""
    return str(RUNS[name].get("type", name))


def is_ordered(name: str) -> bool:
    """Whether a level of the run's codes refines the one before it."""
    from sidmint.tokenizers import TOKENIZERS

    return TOKENIZERS[type_of(name)].hierarchical
