"""What every registered tokenizer must do. Covered by a line in `tokenizer_settings`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import worlds
from sidmint.errors import BadInput
from sidmint.progress import silent
from sidmint.tokenizers import TOKENIZERS, GradientTokenizer, Tokenizer, make_tokenizer, storage
from sidmint.tokenizers.base import TrainingLog
from sidmint.tokenizers.gradient import Fit
from sidmint.types import Floats, Ints, Pairs
from tokenizer_settings import SETTINGS, SIZES, also_given

TYPES = {name: TOKENIZERS[settings.get("type", name)] for name, settings in SETTINGS.items()}
GRADIENT = [name for name in SETTINGS if issubclass(TYPES[name], GradientTokenizer)]
WALKING = [name for name in SETTINGS if TYPES[name].walks]
SEEDED = [name for name in SETTINGS if not TYPES[name].uses_categories]


@dataclass(frozen=True)
class Fitted:
    tokenizer: Tokenizer
    log: TrainingLog
    vectors: Floats
    categories: list[str | None]
    codes: Ints

    def encoded(self, rows: Any, tokenizer: Tokenizer | None = None) -> Ints:
        """Codes of some of the items, each with its category."""
        categories = np.array(self.categories, dtype=object)[rows].tolist()
        return (tokenizer or self.tokenizer).encode(self.vectors[rows], categories=categories)


_CACHE: dict[str, Fitted] = {}


def pairs_for(tokenizer: Tokenizer, vectors: Floats) -> Pairs | None:
    return worlds.neighbour_pairs(vectors) if tokenizer.uses_pairs else None


def fit_on(tokenizer: Tokenizer, vectors: Floats, seed: int, device: str) -> TrainingLog:
    """With all that the tokenizer reads: pairs, categories, collaborative vectors."""
    given = (pairs_for(tokenizer, vectors), seed, device, silent, worlds.category_paths(vectors))
    return tokenizer.fit(vectors, *given, **also_given(tokenizer, vectors))


def fit(name: str, seed: int = 3) -> Fitted:
    vectors = worlds.smooth_items()
    tokenizer = make_tokenizer(name, SETTINGS[name])
    categories = worlds.category_paths(vectors)
    log = fit_on(tokenizer, vectors, seed, "cpu")
    codes = tokenizer.encode(vectors, categories=categories)
    return Fitted(tokenizer, log, vectors, categories, codes)


def fit_once(name: str) -> Fitted:
    if name not in _CACHE:
        _CACHE[name] = fit(name)
    return _CACHE[name]


@pytest.fixture(params=sorted(SETTINGS))
def fitted(request: pytest.FixtureRequest) -> Fitted:
    return fit_once(request.param)


@pytest.fixture(params=sorted(WALKING))
def walking(request: pytest.FixtureRequest) -> Fitted:
    return fit_once(request.param)


def test_every_registered_tokenizer_is_covered() -> None:
    assert {kind.type_name for kind in TYPES.values()} == set(TOKENIZERS)


def test_a_tokenizer_knows_its_own_name() -> None:
    assert all(TOKENIZERS[name].type_name == name for name in TOKENIZERS)


def test_codes_have_their_shape_and_range(fitted: Fitted) -> None:
    assert fitted.codes.dtype == np.int32
    assert fitted.codes.shape == (len(fitted.vectors), len(SIZES))
    assert (fitted.codes >= 0).all()
    assert (fitted.codes < np.array(SIZES)).all()


def relative_latent_error(fitted: Fitted) -> float:
    books = fitted.tokenizer.codebooks()
    assert books.sizes == SIZES
    assert all(np.isfinite(level).all() for level in books.levels)
    latent = fitted.tokenizer.latent(fitted.vectors)
    quantized = books.decode(fitted.codes)
    assert latent.shape == quantized.shape
    assert latent.dtype == np.float32
    return float(((latent - quantized) ** 2).sum() / ((latent - latent.mean(axis=0)) ** 2).sum())


def test_quantized_latent_is_the_sum_of_one_codeword_a_level(walking: Fitted) -> None:
    assert relative_latent_error(walking) < 0.5


@pytest.mark.parametrize("name", sorted(set(SETTINGS) - set(WALKING)))
def test_codewords_of_a_control_say_what_its_codes_stand_for(name: str) -> None:
    assert relative_latent_error(fit_once(name)) < 1


def test_more_levels_reconstruct_better(fitted: Fitted) -> None:
    errors = [
        float(((fitted.tokenizer.reconstruct(fitted.codes, n) - fitted.vectors) ** 2).mean())
        for n in range(1, len(SIZES) + 1)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < float(fitted.vectors.var(axis=0).mean())
    whole = fitted.tokenizer.reconstruct(fitted.codes)
    assert whole.dtype == np.float32
    assert np.array_equal(whole, fitted.tokenizer.reconstruct(fitted.codes, len(SIZES)))


def test_the_same_seed_gives_the_same_bytes(fitted: Fitted, tmp_path: Path) -> None:
    again = fit(fitted.tokenizer.name)
    assert again.log == fitted.log
    assert np.array_equal(again.codes, fitted.codes)
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder, tokenizer in zip(folders, (fitted.tokenizer, again.tokenizer), strict=True):
        folder.mkdir()
        storage.save(tokenizer, folder, "all", 1)
    for name in (storage.TENSORS, storage.DESCRIPTION):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


@pytest.mark.parametrize("name", SEEDED)
def test_another_seed_gives_another_tokenizer(name: str) -> None:
    assert not np.array_equal(fit(name, seed=4).codes, fit_once(name).codes)


def test_saving_and_loading_is_the_identity(fitted: Fitted, tmp_path: Path) -> None:
    storage.save(fitted.tokenizer, tmp_path, "warm", len(fitted.vectors))
    loaded = storage.load(tmp_path)
    assert type(loaded) is type(fitted.tokenizer)
    assert loaded.config == fitted.tokenizer.config
    assert np.array_equal(fitted.encoded(slice(None), loaded), fitted.codes)
    assert np.array_equal(loaded.latent(fitted.vectors), fitted.tokenizer.latent(fitted.vectors))
    assert np.array_equal(
        loaded.reconstruct(fitted.codes), fitted.tokenizer.reconstruct(fitted.codes)
    )
    for level, other in zip(
        loaded.codebooks().levels, fitted.tokenizer.codebooks().levels, strict=True
    ):
        assert np.array_equal(level, other)


def test_config_survives_a_round_trip(fitted: Fitted) -> None:
    config = fitted.tokenizer.config
    assert type(config).model_validate(config.model_dump(mode="json")) == config
    assert make_tokenizer("other", {"type": fitted.tokenizer.type_name}).name == "other"


def test_permuted_items_get_permuted_codes(fitted: Fitted) -> None:
    order = np.random.default_rng(0).permutation(len(fitted.vectors))
    assert np.array_equal(fitted.encoded(order), fitted.codes[order])


def test_an_item_alone_gets_the_code_it_gets_in_company(fitted: Fitted) -> None:
    rows = range(0, len(fitted.vectors), 13)
    alone = [fitted.encoded([row])[0] for row in rows]
    assert np.array_equal(np.stack(alone), fitted.codes[::13])


def test_encoding_in_numpy_float64_agrees(walking: Fitted) -> None:
    residual = walking.tokenizer.latent(walking.vectors)
    for level, table in enumerate(walking.tokenizer.codebooks().levels):
        gaps = residual.astype(np.float64)[:, None] - table.astype(np.float64)[None]
        codes = (gaps**2).sum(axis=2).argmin(axis=1)
        assert np.array_equal(codes, walking.codes[:, level])
        residual = residual - table[codes]


def test_encoding_changes_nothing(fitted: Fitted) -> None:
    before = {name: value.copy() for name, value in fitted.tokenizer.state().items()}
    vectors = fitted.vectors.copy()
    fitted.encoded(slice(None))
    assert np.array_equal(vectors, fitted.vectors)
    for name, value in fitted.tokenizer.state().items():
        assert np.array_equal(value, before[name])


def test_the_log_counts_hard_codes(fitted: Fitted) -> None:
    for level, size in enumerate(SIZES):
        shares = np.bincount(fitted.codes[:, level], minlength=size) / len(fitted.codes)
        used = shares[shares > 0]
        assert fitted.log.perplexities[level] == pytest.approx(np.exp(-(used * np.log(used)).sum()))
        assert fitted.log.num_dead[level] == size - len(used)
    assert fitted.log.curve
    assert all(np.isfinite(point.value) for point in fitted.log.curve)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_named(fitted: Fitted, bad: float) -> None:
    vectors = fitted.vectors.copy()
    vectors[17, 3] = bad
    with pytest.raises(BadInput, match=r"row 17 .*NaN or infinity"):
        make_tokenizer(fitted.tokenizer.name, SETTINGS[fitted.tokenizer.name]).fit(vectors)
    with pytest.raises(BadInput, match="row 17"):
        fitted.tokenizer.encode(vectors)


def test_another_dimension_is_refused(fitted: Fitted) -> None:
    with pytest.raises(BadInput, match="fitted on vectors of 24 dimensions, these have 23"):
        fitted.tokenizer.encode(fitted.vectors[:, :23])


@pytest.mark.parametrize("name", sorted(WALKING))
def test_fewer_distinct_vectors_than_codes_are_refused(name: str) -> None:
    vectors = np.tile(worlds.smooth_items(11), (20, 1))  # 220 rows, 11 distinct
    message = rf"level 0 has 12 codes but only 11 .*lower tokenizers\.{name}\.sizes\[0\]"
    with pytest.raises(BadInput, match=message):
        make_tokenizer(name, SETTINGS[name]).fit(vectors)
    with pytest.raises(BadInput, match="only 1 distinct"):
        make_tokenizer(name, SETTINGS[name]).fit(np.ones((100, 8), dtype=np.float32))


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_an_unfitted_tokenizer_says_so(name: str) -> None:
    tokenizer = make_tokenizer(name, SETTINGS[name])
    for use in (tokenizer.codebooks, tokenizer.state, lambda: tokenizer.encode(np.ones((2, 4)))):
        with pytest.raises(BadInput, match="is not fitted"):
            use()


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_an_unknown_setting_names_its_neighbour(name: str) -> None:
    match = rf"tokenizers\.{name}: unknown key size; did you mean sizes"
    with pytest.raises(BadInput, match=match):
        make_tokenizer(name, {"type": TYPES[name].type_name, "size": [4, 4]})


@pytest.mark.parametrize("sizes", [[], [1, 4], [0], "many"])
def test_sizes_that_make_no_sense_are_refused(sizes: Any) -> None:
    for name in SETTINGS:
        with pytest.raises(BadInput, match="sizes"):
            make_tokenizer(name, {**SETTINGS[name], "sizes": sizes})


def test_an_unknown_type_lists_the_known() -> None:
    with pytest.raises(BadInput, match=r"unknown tokenizer 'rq_means'; choose one of: .*rq_kmeans"):
        make_tokenizer("rq_means", {})


@pytest.mark.parametrize("name", GRADIENT)
def test_gradients_are_finite_and_reach_everything_that_learns(name: str) -> None:
    fitted = fit(name)
    tokenizer = fitted.tokenizer
    assert isinstance(tokenizer, GradientTokenizer)
    network = tokenizer._fitted()
    inputs = network.autoencoder.to_units(torch.from_numpy(fitted.vectors))
    rows = torch.arange(len(inputs))
    generator = torch.Generator().manual_seed(0)
    pairs = pairs_for(tokenizer, fitted.vectors)
    known = worlds.collaborative_vectors(fitted.vectors, num_dimensions=8)
    under_way = Fit(
        network, inputs, rows, rows, pairs, generator, 0, silent, torch.from_numpy(known)
    )
    batch = next(under_way.sampler()(1, 2 * len(rows), generator))
    tokenizer.objective(under_way, batch).total.backward()
    learning = [(key, value) for key, value in network.named_parameters() if value.requires_grad]
    assert learning
    for key, value in learning:
        assert value.grad is not None, key
        assert bool(torch.isfinite(value.grad).all()), key
        assert float(value.grad.abs().max()) > 0, key


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_cuda_fits_and_gives_the_codes_that_the_cpu_gives(name: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    tokenizer = make_tokenizer(name, SETTINGS[name])
    vectors = worlds.smooth_items()
    categories = worlds.category_paths(vectors)
    fit_on(tokenizer, vectors, 3, "cuda")
    on_gpu, on_cpu = (tokenizer.encode(vectors, d, categories) for d in ("cuda", "cpu"))
    assert np.array_equal(on_gpu, on_cpu)


@pytest.mark.parametrize("device", ["gpu", "cuda:0"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    if device != "gpu" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    tokenizer = make_tokenizer("rq_kmeans", SETTINGS["rq_kmeans"])
    with pytest.raises(BadInput, match=r"train\.device"):
        tokenizer.fit(worlds.smooth_items(), device=device)
