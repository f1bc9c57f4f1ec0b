"""Every shipped preset builds, says what it is, and can be added to a workspace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from sidmint.errors import BadInput
from sidmint.layout import Layout
from sidmint.params import load_params
from sidmint.presets import add_preset, preset, presets
from sidmint.stages.train import check_settings
from sidmint.templates import demo_params
from sidmint.tokenizers import make_tokenizer
from workspaces import sidmint

NAMES = sorted(presets())


def layout_in(folder: Path) -> Layout:
    (folder / "params.yaml").write_text(demo_params(), encoding="utf-8")
    return Layout(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_can_be_added_and_every_tokenizer_of_it_builds(name: str, tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    added = add_preset(layout, name)
    params = load_params(layout.params)
    assert added == tuple(preset(name).tokenizers)
    assert set(added) <= set(params.train.tokenizers)
    assert {key: params.tokenizers[key] for key in added} == preset(name).tokenizers
    if name == "letter":
        with pytest.raises(BadInput, match=r"embed\.collaborative names none"):
            check_settings(params)
        known = params.embed.model_copy(update={"collaborative": "data/raw/sasrec.parquet"})
        params = params.model_copy(update={"embed": known})
    check_settings(params)
    assert "# Every value a run depends on" in layout.params.read_text(encoding="utf-8")
    assert add_preset(layout, name) == added  # a second time changes nothing
    assert load_params(layout.params).tokenizers == params.tokenizers


def test_quasid_a2_is_what_the_paper_prints() -> None:
    """QuaSID A.2: L=3, K=256, R=1 offline; L=4, K=1024, R=2 online; margins .8 and .5."""
    for name, sizes, radius, batch in (
        ("quasid_public", (256,) * 3, 1, 256),
        ("quasid_industrial", (1024,) * 4, 2, 1024),
    ):
        tokenizer = make_tokenizer("quasid", preset(name).tokenizers["quasid"])
        losses = {entry.name: (entry.weight, loss) for entry, loss in tokenizer._losses}
        weight, hamr = losses["hamr"]
        assert (tokenizer.config.sizes, tokenizer.config.batch_size) == (sizes, batch)
        assert (weight, hamr.full_weight, hamr.partial_weight) == (1.0, 0.2, 0.1)
        assert (hamr.full_margin, hamr.partial_margin, hamr.radius) == (0.8, 0.5, radius)
        assert not hamr.gather
        assert losses["info_nce"][0] == 0.1
        assert losses["commitment"][1].beta == 0.25


def test_ablations_lack_what_they_say_and_nothing_else() -> None:
    shipped = preset("quasid_ablations").tokenizers
    whole, cvpm, hamr = (
        {entry.name: (entry.weight, loss) for entry, loss in make_tokenizer(name, values)._losses}
        for name, values in shipped.items()
    )
    assert list(shipped) == ["quasid", "quasid_without_cvpm", "quasid_without_hamr"]
    assert {key: whole[key] for key in whole if key != "hamr"} == hamr
    weight, repulsion = whole["hamr"]
    assert whole | {"hamr": (weight, repulsion.model_copy(update={"cvpm": False}))} == cvpm


def test_drq_trains_its_five_tokenizers_at_4096() -> None:
    shipped = preset("drq_industrial").tokenizers
    assert sorted(shipped) == ["drq_vae", "drq_vae_cl", "rq_kmeans", "rq_vae", "rqp_vae"]
    for name, values in shipped.items():
        assert make_tokenizer(name, values).config.sizes == (4096,) * 3


def test_letter_and_fsq_are_as_their_papers_print_them() -> None:
    """LETTER: four levels of 256, alpha .02, beta .0001, mu .25. FSQ Table 1: 2^8 as 8, 6, 5."""
    letter = make_tokenizer("letter", preset("letter").tokenizers["letter"])
    losses = {entry.name: (entry.weight, loss) for entry, loss in letter._losses}
    assert letter.config.sizes == (256,) * 4
    assert (losses["collaborative"][0], losses["diversity"][0]) == (0.02, 0.0001)
    assert losses["commitment"][1].beta == 0.25
    fsq = make_tokenizer("fsq", preset("fsq").tokenizers["fsq"])
    assert fsq.config.radices_of_levels() == ((8, 6, 5),) * 3


def test_an_unknown_preset_lists_the_known(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    before = layout.params.read_bytes()
    with pytest.raises(BadInput, match=r"unknown preset 'quasid2'; choose one of: .*quasid_public"):
        add_preset(layout, "quasid2")
    assert layout.params.read_bytes() == before


def test_the_command_lists_shows_and_prints_json(tmp_path: Path) -> None:
    listed = json.loads(sidmint(tmp_path, "presets", "--json"))
    assert sorted(listed) == NAMES
    shown = yaml.safe_load(sidmint(tmp_path, "presets", "quasid_public"))
    assert shown["tokenizers"] == preset("quasid_public").tokenizers
