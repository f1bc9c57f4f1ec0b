"""One training step of RQ-VAE beside vector-quantize-pytorch's ResidualVQ in the same network.

    python benchmarks/training_step.py [--threads 1] [--rounds 20] [--json]

MLP 768-512-256-128-32 and its mirror, batch 1,024, 3 x 256; forward, backward and Adam, all in
this process, in turns, so that noise falls on both. Figures are CPU seconds of this thread where
--threads is 1, else wall seconds; ratios are taken round by round. The network without any
quantizer is timed too: no quantizer can go below it. The second table says what HaMR and
InfoNCE add to a step on 256 pairs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from sidmint.losses import Commitment, Hamr, InfoNce, Loss, Reconstruction, TokenizerStep
from sidmint.quantization.estimators import straight_through
from sidmint.quantization.quantizer import ResidualQuantizer
from sidmint.tokenizers.encoders import Mlp
from sidmint.tokenizers.precision import matrix_products

WIDTHS = (768, 512, 256, 128, 32)
SIZES = (256, 256, 256)
BATCH = 1024
Step = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    items = clustered_items(12_000)
    clock = time.thread_time if arguments.threads == 1 else time.perf_counter
    alone = in_turns(
        {"sidmint": our_step(items, [Reconstruction(), Commitment()]), **peers(items)},
        arguments.rounds,
        clock,
    )
    pairs = in_turns(
        {
            "without": our_step(items, [Reconstruction(), Commitment()], 256),
            "with HaMR and InfoNCE": our_step(
                items, [Reconstruction(), Commitment(), Hamr(), InfoNce()], 256
            ),
        },
        arguments.rounds,
        clock,
    )
    found = {"step": against(alone, "sidmint"), "on 256 pairs": against(pairs, "without")}
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for title, rows in found.items():
        table = Table("", "ms (median)", "times the first: min", "median", "max", title=title)
        for row in rows:
            table.add_row(row["name"], *(f"{row[k]:.2f}" for k in ("ms", "min", "median", "max")))
        Console().print(table)


def clustered_items(num_items: int) -> Tensor:
    """Unit vectors in clusters, so that codes collide about as often as on a catalogue."""
    centres = torch.randn(500, WIDTHS[0])
    vectors = centres[torch.randint(500, (num_items,))] + 0.7 * torch.randn(num_items, WIDTHS[0])
    return nn.functional.normalize(vectors, dim=1)


def our_step(items: Tensor, losses: list[Loss], num_pairs: int = 0) -> Step:
    encoder, decoder = Mlp(WIDTHS), Mlp(WIDTHS[::-1])
    quantizer = ResidualQuantizer(SIZES, WIDTHS[-1], straight_through)
    with torch.no_grad():
        draws = torch.Generator().manual_seed(0)
        quantizer.start_on(encoder(items), draws, iterations=5, tolerance=0)
    modules = nn.ModuleList([encoder, decoder, quantizer])
    optimizer = torch.optim.Adam(modules.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        rows = torch.randint(len(items), (2 * num_pairs or BATCH,))
        inputs = items[rows]
        with matrix_products("auto", inputs.device):
            latent = encoder(inputs).float()
        walk, quantized = quantizer(latent)
        with matrix_products("auto", inputs.device):
            output = decoder(quantized).float()
        made = TokenizerStep(rows, inputs, latent, output, walk, num_pairs)
        optimizer.zero_grad(set_to_none=True)
        torch.stack([loss(made) for loss in losses]).sum().backward()
        optimizer.step()

    return step


def peers(items: Tensor) -> dict[str, Step]:
    """The bare network, and ResidualVQ in three of its ways where it is installed."""
    steps = {"no quantizer": _peer_step(items, None)}
    try:
        from vector_quantize_pytorch import ResidualVQ
    except ImportError:
        Console(stderr=True).print("vector-quantize-pytorch is not installed: no peer")
        return steps
    ways: dict[str, dict[str, Any]] = {
        "ResidualVQ, gradient": {"learnable_codebook": True, "ema_update": False},
        "ResidualVQ, EMA": {},
        "ResidualVQ, rotation": {"rotation_trick": True},
    }
    for name, settings in ways.items():
        quantizer = ResidualVQ(
            dim=WIDTHS[-1], num_quantizers=len(SIZES), codebook_size=SIZES[0], **settings
        )
        steps[name] = _peer_step(items, quantizer)
    return steps


def _peer_step(items: Tensor, quantizer: nn.Module | None) -> Step:
    encoder, decoder = Mlp(WIDTHS), Mlp(WIDTHS[::-1])
    modules = nn.ModuleList([encoder, decoder, *([quantizer] if quantizer else [])])
    optimizer = torch.optim.Adam(modules.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        inputs = items[torch.randint(len(items), (BATCH,))]
        latent = encoder(inputs)
        penalty = latent.new_zeros(())
        if quantizer is not None:
            latent, _, penalties = quantizer(latent)
            penalty = penalties.sum()
        loss = (inputs - decoder(latent)).square().sum(dim=1).mean() + penalty
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def in_turns(
    steps: dict[str, Step], rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds of every step, `rounds` times in turns, after three rounds that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 3):
        for name, step in steps.items():
            started = clock()
            step()
            if turn >= 3:
                seconds[name].append(clock() - started)
    return seconds


def against(seconds: dict[str, list[float]], first: str) -> list[dict[str, Any]]:
    """Each step's time as a multiple of the first one's, round by round."""
    rows = []
    for name, values in seconds.items():
        ratios = [value / base for value, base in zip(values, seconds[first], strict=True)]
        rows.append(
            {
                "name": name,
                "ms": statistics.median(values) * 1e3,
                "min": min(ratios),
                "median": statistics.median(ratios),
                "max": max(ratios),
            }
        )
    return rows


if __name__ == "__main__":
    main()
