"""`tiger` beside a T5 of the same shape from transformers, and `causal`: lists and training.

    OMP_NUM_THREADS=1 python benchmarks/decoding.py [--threads 1] [--repetitions 3] [--json]

12,101 items with 4 codes of 256; 256 users with histories of at most 20 items; 50 beams, only ids
that exist. 4 + 4 layers, 6 heads of 64, width 128, feed-forward 1,024, float32, random weights
(time does not depend on them): T5 has relative positions, one softmax over all tokens and
`prefix_allowed_tokens_fn` over a dict of prefixes, its usual way to the ids that exist. Both get
the same batches of 16 users of like length, the best of 4, 8, 16 and 64 for `tiger` on a CPU.

Training: forward, backward, AdamW on 256 pairs of a history and its next item a step, out of all
prefixes of all users. T5 once on batches as transformers' Trainer draws them, at random and padded
to the longest, and once on the very batches of like length that `tiger` has. `causal` learns every
event of a sequence in one pass, so that its target tokens cost it far less.

Each in a process of its own, as its users run it: what one leaves in the allocator would speed up
the next. They take turns, so that noise falls on all; ratios are taken within a repetition, of
processor seconds at one thread, else of wall seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from peers import OURS, Timing, in_turn, timed
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration

from sidmint.recommenders import IdTable, Sequences
from sidmint.recommenders.causal import Causal, CausalConfig
from sidmint.recommenders.neural import NeuralRecommender
from sidmint.recommenders.tiger import Tiger, TigerConfig
from sidmint.types import Codes

SIZES = (256, 256, 256, 256)
NUM_ITEMS, BEAMS, HISTORY, USERS_A_BATCH, PAIRS = 12_101, 50, 20, 16, 256
PAD, FIRST_CODE = 0, 1
PEER, PEER_AT_RANDOM = "transformers T5", "transformers T5, random batches"
CAUSAL = "sidmint causal"
LISTS, TRAINING = (OURS, PEER, CAUSAL), (OURS, PEER_AT_RANDOM, PEER, CAUSAL)

SettingUp = Callable[[str, int], tuple[Callable[[], None], int]]
"""From a contestant's name and a number to its work, and how many things that work does."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--users", type=int, default=256)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="training steps a repetition")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    threads, users = arguments.threads, arguments.users
    found = {}
    for title, setting_up, names, detail in (
        (f"lists by {BEAMS} beams, users a second", asking, LISTS, users),
        ("training, target tokens a second", learning, TRAINING, arguments.steps),
    ):
        alone = {name: Alone(setting_up, name, threads, detail) for name in names}
        counts = {name: one.count for name, one in alone.items()}
        timings = in_turn({name: one.run for name, one in alone.items()}, arguments.repetitions)
        for one in alone.values():
            one.process.shutdown()
        found[title] = rates(timings, counts, threads)
    show(found, arguments.json)


class Alone:
    """A contestant in a process of its own, set up and run once before it counts."""

    def __init__(self, setting_up: SettingUp, name: str, threads: int, detail: int) -> None:
        self.process = ProcessPoolExecutor(1, get_context("spawn"))
        self.count = self.process.submit(_set_up, setting_up, name, threads, detail).result()

    def run(self) -> Timing:
        """Timed over there."""
        return self.process.submit(_run).result()


def _set_up(setting_up: SettingUp, name: str, threads: int, detail: int) -> int:
    """Of this process: what `_run` times from now on; how many things that is."""
    global _work
    torch.set_num_threads(threads)
    _work, count = setting_up(name, detail)
    _work()
    return count


def _run() -> Timing:
    return timed(_work)


def _work() -> None:
    raise RuntimeError("a contestant is set up before it runs")


def asking(name: str, users: int) -> tuple[Callable[[], None], int]:
    """Lists of `users` users, and their number."""
    rng = np.random.default_rng(7)
    table = some_ids(rng)
    histories = some_histories(users, rng)
    if name == PEER:
        peer = same_shape(TigerConfig())
        return lambda: peer_lists(peer, histories, table.codes.values), users
    model = untrained(ours(name), table)
    return lambda: asked(model, histories), users


def asked(model: NeuralRecommender, histories: Sequences) -> None:
    model.recommend(histories, BEAMS)


def learning(name: str, steps: int) -> tuple[Callable[[], None], int]:
    """That many steps, and the target tokens in them."""
    rng = np.random.default_rng(7)
    table = some_ids(rng)
    order = table.order()
    log = some_histories(256, rng).mapped(np.argsort(order).astype(np.int32))
    if name == CAUSAL:
        model = untrained(ours(name), table)
        rows = batches(model.examples(log), 1)
        events = sum(int((one >= 0).sum()) for one in rows)
        return our_training(model, rows), events * len(SIZES)
    tiger = untrained(ours(OURS), table)
    pairs = tiger.examples(log)
    rows = random_batches(pairs, steps, rng) if name == PEER_AT_RANDOM else batches(pairs, steps)
    tokens = sum(map(len, rows)) * len(SIZES)
    if name == OURS:
        return our_training(tiger, rows), tokens
    codes = table.sorted(order).codes.values
    return peer_training(same_shape(tiger.config), rows, codes), tokens


def ours(name: str) -> NeuralRecommender:
    if name == CAUSAL:
        return Causal(CausalConfig(beam=BEAMS, max_length=HISTORY))
    return Tiger(TigerConfig(beam=BEAMS))


def some_ids(rng: np.random.Generator) -> IdTable:
    """Distinct ids whose codes are used unequally, as learned ones are."""
    drawn = (256 * rng.random((2 * NUM_ITEMS, len(SIZES))) ** 2).astype(np.int32)
    distinct = np.unique(drawn, axis=0)
    return IdTable(Codes(rng.permutation(distinct)[:NUM_ITEMS], SIZES))


def some_histories(users: int, rng: np.random.Generator) -> Sequences:
    """4 to 20 items, 9 on average or so, as in the Amazon catalogues."""
    lengths = np.minimum(3 + rng.geometric(1 / 6, users), HISTORY)
    lists = Sequences.of([rng.integers(0, NUM_ITEMS, length) for length in lengths])
    return Sequences(lists.items, lists.offsets, np.arange(users, dtype=np.int32))


def untrained(model: Any, table: IdTable) -> Any:
    """The recommender after one step on one event: ready to be asked."""
    once = model.config.model_copy(update={"epochs": 1})
    ready = type(model)(once)
    ready.fit(Sequences.of([[0, 1]]), table, seed=1)
    return ready


def same_shape(config: TigerConfig) -> T5ForConditionalGeneration:
    """T5 with a token a code and a user, and no end: every id has as many codes."""
    torch.manual_seed(1)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=FIRST_CODE + sum(SIZES) + config.user_tokens,
            d_model=config.width,
            d_kv=config.head_width,
            d_ff=config.feed_forward,
            num_layers=config.layers,
            num_decoder_layers=config.layers,
            num_heads=config.heads,
            dropout_rate=config.dropout,
            pad_token_id=PAD,
            decoder_start_token_id=PAD,
            eos_token_id=None,
        )
    )
    model.generation_config.eos_token_id = None
    return model.eval()


def tokens_of(codes: np.ndarray) -> np.ndarray:
    """T5's tokens (N, L) of the codes (N, L)."""
    starts = np.concatenate([[0], np.cumsum(SIZES)[:-1]])
    return (codes + starts + FIRST_CODE).astype(np.int64)


def peer_inputs(users: np.ndarray, rows: np.ndarray, tokens: np.ndarray) -> dict[str, Tensor]:
    """User token, then the codes of item rows (B, T), padded on the right by -1."""
    read = np.where(rows[..., None] >= 0, tokens[rows], PAD).reshape(len(rows), -1)
    named = users[:, None] % 2000 + FIRST_CODE + sum(SIZES)
    inputs = torch.from_numpy(np.concatenate([named, read], axis=1).astype(np.int64))
    return {"input_ids": inputs, "attention_mask": (inputs != PAD).long()}


def allowed_by(tokens: np.ndarray) -> Callable[[int, Tensor], list[int]]:
    """What may follow, from a dict of prefixes."""
    following: dict[tuple[int, ...], set[int]] = {}
    for one in tokens.tolist():
        for level, token in enumerate(one):
            following.setdefault(tuple(one[:level]), set()).add(token)
    allowed = {prefix: sorted(after) for prefix, after in following.items()}
    # Beams at -inf stand on prefixes that no item has; they must be told something.
    return lambda _, written: allowed.get(tuple(written.tolist()[1:]), [PAD])


@torch.no_grad()
def peer_lists(model: T5ForConditionalGeneration, histories: Sequences, codes: np.ndarray) -> None:
    """T5's lists; raises where it wrote an id that no item has."""
    model.eval()
    tokens = tokens_of(codes)
    allowed = allowed_by(tokens)
    order = np.argsort(histories.lengths, kind="stable")
    written: set[tuple[int, ...]] = set()
    for at in range(0, len(order), USERS_A_BATCH):
        asked = histories.take(order[at : at + USERS_A_BATCH])
        rows = asked.padded(int(asked.lengths.max()))
        found = model.generate(
            **peer_inputs(order[at : at + USERS_A_BATCH], rows, tokens),
            num_beams=BEAMS,
            num_return_sequences=BEAMS,
            max_new_tokens=len(SIZES),
            min_new_tokens=len(SIZES),
            do_sample=False,
            prefix_allowed_tokens_fn=allowed,
        )
        written.update(map(tuple, found[:, 1:].tolist()))
    unknown = written - set(map(tuple, tokens.tolist()))
    if unknown:
        raise RuntimeError(f"T5 wrote {len(unknown)} ids that no item has")


def batches(examples: Sequences, count: int) -> list[Tensor]:
    """`count` batches of like length, spread over all lengths."""
    order = np.argsort(examples.lengths, kind="stable")
    starts = np.linspace(0, max(len(order) - PAIRS, 0), count).astype(int)
    chosen = [examples.take(order[start : start + PAIRS]) for start in starts]
    return [padded(one) for one in chosen]


def random_batches(examples: Sequences, count: int, rng: np.random.Generator) -> list[Tensor]:
    order = rng.permutation(len(examples))
    return [
        padded(examples.take(some)) for some in np.array_split(order, len(order) // PAIRS)[:count]
    ]


def padded(examples: Sequences) -> Tensor:
    """(B, T), to the longest of them."""
    return torch.from_numpy(examples.padded(int(examples.lengths.max()))).long()


def our_training(model: NeuralRecommender, rows: list[Tensor]) -> Callable[[], None]:
    return training(model.module, [lambda one=one: model.add_gradients(one) for one in rows])


def peer_training(
    model: T5ForConditionalGeneration, rows: list[Tensor], codes: np.ndarray
) -> Callable[[], None]:
    """The same pairs, as T5 takes them."""
    tokens, made = tokens_of(codes), []
    for batch in rows:
        one = batch.numpy().copy()
        last = (one >= 0).sum(axis=1) - 1
        targets = one[np.arange(len(one)), last]
        one[np.arange(len(one)), last] = -1
        inputs = peer_inputs(one[:, 0], one[:, 1:-1], tokens)
        made.append({**inputs, "labels": torch.from_numpy(tokens[targets])})
    return training(model, [lambda each=each: model(**each).loss.backward() for each in made])


def training(module: nn.Module, batches: list[Callable[[], Any]]) -> Callable[[], None]:
    """A step for each of `batches`, which add gradients."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=True)

    def steps() -> None:
        module.train()
        for add_gradients in batches:
            optimizer.zero_grad(set_to_none=True)
            add_gradients()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
        module.eval()

    return steps


def rates(
    timings: dict[str, list[Timing]], counts: dict[str, int], threads: int
) -> list[dict[str, Any]]:
    """What each did a second, and how many times that `tiger` did, repetition by repetition."""
    seconds = {
        name: [run.cpu_s if threads == 1 else run.wall_s for run in runs]
        for name, runs in timings.items()
    }
    rows = []
    for name, values in seconds.items():
        each = [counts[name] / value for value in values]
        ours = [counts[OURS] / value for value in seconds[OURS]]
        ratios = sorted(our / one for our, one in zip(ours, each, strict=True))
        rows.append(
            {
                "name": "sidmint tiger" if name == OURS else name,
                "per_second": statistics.median(each),
                "min": ratios[0],
                "median": statistics.median(ratios),
                "max": ratios[-1],
            }
        )
    return rows


def show(found: dict[str, list[dict[str, Any]]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for title, rows in found.items():
        table = Table("", "median rate", "tiger / it: min", "median", "max", title=title)
        for row in rows:
            figures = (f"{row[key]:.2f}" for key in ("min", "median", "max"))
            table.add_row(row["name"], f"{row['per_second']:,.1f}", *figures)
        Console().print(table)


if __name__ == "__main__":
    main()
