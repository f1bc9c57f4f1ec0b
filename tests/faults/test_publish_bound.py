"""What was judged is what is published: one file changed after the gate, and nothing moves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import releases
from releases import CODES, Built, build_workspace
from sidmint.errors import BadInput, Refused
from sidmint.publishing import bundle
from sidmint.publishing.files import copy_regular
from sidmint.publishing.judged import JUDGED, fingerprints
from sidmint.publishing.release import Override
from workspaces import tree_digests

WHY = Override(by="Ada", reason="a demo tonight")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one` was published; `two` passed the gate beside it. Every optional file is there."""
    built = build_workspace(tmp_path_factory.mktemp("bound") / "w")
    fitted = built.artifacts.folder("embed") / "sources.safetensors"
    fitted.write_bytes(b"means and axes of several sources")
    for name in ("one", "two"):
        with built.artifacts.writing("recommend", name) as out:
            out.text("recommender.safetensors", f"learned on {name}")
            out.json("recommender", {"recommender": name})
            out.metrics({"recommend_hr_at_10": 0.1})
        with built.artifacts.writing("segments", name) as out:
            out.table("comparison", releases.case_table(2).head(0).with_columns(num_users=0))
            out.metrics({"cold_coverage": 1.0})
        built.judge(name)
    built.publish("one")
    built.judge("two")
    return built.root


@pytest.fixture
def built(template: Path, tmp_path: Path) -> Iterator[Built]:
    """A copy; whatever a test does to it, its registry must not move."""
    world = Built(shutil.copytree(template, tmp_path / "w"))
    before = tree_digests(world.store.folder)
    yield world
    assert tree_digests(world.store.folder) == before


def refused(built: Built) -> str:
    """The reasons against `two`, with and without an override alike."""
    said = []
    for override in (None, WHY):
        with pytest.raises(Refused) as caught:
            built.publish("two", override)
        assert caught.value.exit_code == 1
        said.append(str(caught.value))
    assert said[0] == said[1]
    return said[0]


def test_what_was_judged_can_be_published(template: Path, tmp_path: Path) -> None:
    built = Built(shutil.copytree(template, tmp_path / "w"))
    release = built.publish("two")
    files = release.manifest["files"]
    judged = built.artifacts.json("gate", "verdict", "two")["artifacts"]
    assert judged == fingerprints(built.artifacts, "two")
    for each in JUDGED:
        if each.released_as:
            assert files[each.released_as]["sha256"] == judged[f"{each.stage}/{each.file}"]


@pytest.mark.parametrize("each", JUDGED, ids=lambda each: f"{each.stage}/{each.file}")
def test_one_flipped_bit_in_any_judged_file_is_named(built: Built, each) -> None:
    path = built.layout.stage(each.stage, None if each.shared else "two") / each.file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert f"{each.stage}/{each.file} has other bytes than were judged" in refused(built)


@pytest.mark.parametrize(
    "each", [each for each in JUDGED if each.optional], ids=lambda each: f"{each.stage}/{each.file}"
)
def test_a_judged_file_that_is_gone_and_one_that_came_are_named(built: Built, each) -> None:
    path = built.layout.stage(each.stage, None if each.shared else "two") / each.file
    data = path.read_bytes()
    path.unlink()
    assert f"{each.stage}/{each.file} is gone" in refused(built)
    built.judge("two")
    path.write_bytes(data)
    assert f"{each.stage}/{each.file} was not judged" in refused(built)


@pytest.mark.parametrize("name", ["tokenizer.safetensors", "tokenizer.json"])
def test_the_other_tokenizers_file_in_its_place_is_named(built: Built, name: str) -> None:
    folders = [built.layout.stage("train", tokenizer) for tokenizer in ("one", "two")]
    shutil.copyfile(folders[0] / name, folders[1] / name)
    if name == "tokenizer.json":  # a world of two that differ by their name alone
        (folders[1] / name).write_text((folders[1] / name).read_text() + "\n")
    assert f"train/{name} has other bytes" in refused(built)


@pytest.mark.parametrize("retention", [0.9, 0.1, "NaN"])
def test_metrics_edited_after_the_gate_are_named(built: Built, retention: object) -> None:
    path = built.layout.stage("evaluate", "two") / "metrics.json"
    path.write_text(f'{{"retention_at_100": {retention}}}')
    assert "evaluate/metrics.json has other bytes" in refused(built)


def forge(built: Built, change: Callable[[dict], None]) -> None:
    """Edit the verdict so that it agrees with itself."""
    path = built.layout.stage("gate", "two") / "verdict.json"
    verdict = json.loads(path.read_text())
    change(verdict)
    path.write_text(json.dumps(verdict))


def test_an_invented_rule_in_place_of_all_is_named(built: Built) -> None:
    def cut(verdict: dict) -> None:
        verdict["rules"] = [{**verdict["rules"][0], "name": "mine", "reason": "all is well"}]

    forge(built, cut)
    said = refused(built)
    assert "the verdict lacks the rule retention_at_100" in said
    assert "the verdict has a rule mine, which params.yaml does not ask for" in said


def test_a_verdict_that_names_another_table_is_named(built: Built) -> None:
    forge(built, lambda verdict: verdict.update(table_sha256="0" * 64))
    assert "it judged another table" in refused(built)


def test_a_refusal_that_was_turned_into_a_pass_is_named(template: Path, tmp_path: Path) -> None:
    built = Built(shutil.copytree(template, tmp_path / "w"))
    built.build("two", codes=CODES, retention=0.4)

    def pass_it(verdict: dict) -> None:
        for rule in verdict["rules"]:
            rule["passed"] = True
        verdict.update(passed=True, blocked_by=[], warnings=[])

    forge(built, pass_it)
    assert 'the verdict says of retention_at_100: "retention_at_100 is 0.400' in refused(built)


def test_digests_forged_to_fit_do_not_change_what_the_metrics_say(built: Built) -> None:
    """Whoever edits metrics, verdict and digests alike meets the rules themselves."""
    path = built.layout.stage("evaluate", "two") / "metrics.json"
    path.write_text('{"retention_at_100": 0.1}')
    forge(built, lambda v: v["artifacts"].update(fingerprints(built.artifacts, "two")))
    assert 'the measurements give: "retention_at_100 is 0.100, below' in refused(built)


@pytest.mark.parametrize("key", ["metrics", "tokenizer"])
def test_what_is_known_of_the_champion_must_be_what_the_registry_holds(
    built: Built, key: str
) -> None:
    champion = json.loads(built.layout.champion.read_text())
    champion[key] = {"retention_at_100": 0.1} if key == "metrics" else "other"
    built.layout.champion.write_text(json.dumps(champion))
    built.judge("two")
    assert "say of v0001 is not what the registry holds" in refused(built)


@pytest.mark.parametrize("name", ["sids.parquet", "params.yaml", "verdict.json", "report.html"])
def test_a_file_swapped_between_the_check_and_the_copy_is_refused(
    built: Built, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(source: Path, target: Path) -> None:
        if source.name == name:
            source.write_bytes(source.read_bytes() + b"\n")
        copy_regular(source, target)

    monkeypatch.setattr(bundle, "copy_regular", late)
    with pytest.raises(Refused, match=f"two changed while it was being published: {name}"):
        built.publish("two")
    assert not list(built.store.folder.glob("staging/*"))


def test_metrics_swapped_while_copying_are_refused(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    """metrics.json of a release is made, not copied: it is the stages' files that are hashed."""

    def late(source: Path, target: Path) -> None:
        metrics = built.layout.stage("evaluate", "two") / "metrics.json"
        metrics.write_text('{"retention_at_100": 0.99}')
        copy_regular(source, target)

    monkeypatch.setattr(bundle, "copy_regular", late)
    with pytest.raises(Refused, match=r"being published: evaluate/metrics\.json has other bytes"):
        built.publish("two")


def test_nobody_leads_while_one_verdict_is_broken(template: Path, tmp_path: Path) -> None:
    """The leader might be the one that was tampered with; who names a tokenizer asks for it."""
    built = Built(shutil.copytree(template, tmp_path / "w"))
    built.judge("one")
    weights = built.layout.stage("train", "one") / "tokenizer.safetensors"
    weights.write_bytes(weights.read_bytes() + b"x")
    for override in (None, WHY):
        with pytest.raises(Refused, match=r"train/tokenizer\.safetensors has other") as caught:
            built.publish(None, override)
        assert "--override" not in str(caught.value)
    assert built.publish("two").changed


@pytest.mark.parametrize("text", ["stages: [", "- 1", "\x00"])
def test_a_lock_file_that_is_none_is_bad_input(built: Built, text: str) -> None:
    (built.root / "dvc.lock").write_text(text)
    with pytest.raises(BadInput, match=r"dvc\.lock"):
        built.publish("two")


@pytest.mark.parametrize("artifacts", [[], None, {"params.yaml": 3}])
def test_digests_of_another_form_are_no_verdict(built: Built, artifacts: object) -> None:
    forge(built, lambda verdict: verdict.update(artifacts=artifacts))
    with pytest.raises(BadInput, match="is no verdict"):
        built.publish("two")


def test_a_rule_without_a_name_is_no_verdict(built: Built) -> None:
    forge(built, lambda verdict: verdict["rules"][0].update(name=["n_eff"]))
    with pytest.raises(BadInput, match="is no verdict"):
        built.publish("two")
