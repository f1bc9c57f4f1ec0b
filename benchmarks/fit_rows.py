"""What a fit on a draw of the items costs in error: the rows of docs/results/fit_rows.jsonl.

    python benchmarks/fit_rows.py [--data FOLDER] [--seeds 7,8,9]

Residual k-means on 1, 3, 10, 30 and 100 % of the items, then every item coded: relative squared
error over all of them, over those that the fit did not read, and the collision rate. Two
catalogues: 200,000 x 128 synthetic vectors shaped like text embeddings at 3 x 256, and, where
FOLDER has them, the MiniLM vectors of Beauty and Toys together (24,025 x 384) at 3 x 64. A row says
why where so few items leave too few distinct residuals. A finished row is not made again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import peers
import torch
from row_files import put_rows, read_lines

from sidmint.diagnostics import reconstruction
from sidmint.errors import BadInput
from sidmint.seeds import seed_for
from sidmint.semantic_ids import shared_codes
from sidmint.stages.train import drawn_rows
from sidmint.tokenizers import make_tokenizer
from sidmint.types import Floats

ROWS = Path(__file__).resolve().parents[1] / "docs" / "results" / "fit_rows.jsonl"
SHARES = (0.01, 0.03, 0.1, 0.3, 1.0)
SIZES = {"synthetic": [256] * 3, "beauty_and_toys": [64] * 3}


def main() -> None:
    """Make the rows that are missing, the cheap ones of a seed first."""
    asked = _arguments()
    torch.set_num_threads(1)
    for name, load in _catalogues(asked.data).items():
        vectors = load()
        for seed in map(int, asked.seeds.split(",")):
            for share in SHARES:
                place = {"catalogue": name, "seed": seed, "share": share}
                if not any(place.items() <= row.items() for row in read_lines(ROWS)):
                    row = place | _measure(vectors, SIZES[name], share, seed)
                    put_rows(ROWS, [row], _place)
                    print(row, flush=True)


def _catalogues(data: Path) -> Mapping[str, Callable[[], Floats]]:
    found: dict[str, Callable[[], Floats]] = {
        "synthetic": lambda: peers.vectors(200_000, 128).numpy()
    }
    if data.is_dir():
        paths = [data / name / "minilm_l6_v2.npy" for name in ("beauty", "toys")]
        found["beauty_and_toys"] = lambda: np.concatenate(
            [np.load(path).astype(np.float32) for path in paths]
        )
    return found


def _measure(vectors: Floats, sizes: list[int], share: float, seed: int) -> dict[str, Any]:
    tokenizer = make_tokenizer("rq_kmeans", {"sizes": sizes})
    everybody = np.ones(len(vectors), dtype=bool)
    read = drawn_rows(everybody, round(share * len(vectors)), seed_for(seed, "train", "rows"))
    described = {
        "fit_rows": int(read.sum()),
        "num_items": len(vectors),
        "num_dimensions": vectors.shape[1],
        "sizes": sizes,
    }
    started = time.process_time()
    try:
        tokenizer.fit(vectors[read], seed=seed, device="cpu")
    except BadInput as error:
        return described | {"refused": str(error)}
    fit_s = time.process_time() - started
    codes = tokenizer.encode(vectors)
    back, mean = tokenizer.reconstruct(codes), vectors.mean(axis=0, dtype=np.float64)
    found = described | {
        "fit_cpu_s": round(fit_s, 1),
        "relative_mse": _rounded(reconstruction(vectors, back, mean).relative_mse),
        "collision_rate": _rounded(shared_codes(codes).collision_rate),
    }
    if not read.all():
        others = reconstruction(vectors[~read], back[~read], mean).relative_mse
        found["relative_mse_of_others"] = _rounded(others)
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["catalogue"], row["seed"], row["share"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", default="7,8,9")
    return parser.parse_args()


if __name__ == "__main__":
    main()
