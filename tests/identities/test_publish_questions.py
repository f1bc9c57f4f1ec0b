"""What the published tables answer, on a catalogue of four items where it is known.

Codes: a (0, 1), b (0, 1), c (0, 2), d (3, 3), of sizes 4 and 8.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from releases import CODES, Built, build_workspace
from sidmint.errors import BadInput
from sidmint.publishing.difference import MetricChange, compare
from sidmint.publishing.history import list_versions, metric_history
from sidmint.publishing.lookup import items_of, lookup
from sidmint.publishing.plot import bars, draw_history


@pytest.fixture
def built(tmp_path: Path) -> Built:
    built = build_workspace(tmp_path)
    built.publish("one")
    return built


def ids(built: Built, semantic_id: str, version: str | None = None) -> list[str]:
    return items_of(built.store.release(version), semantic_id)["item_id"].to_list()


def test_the_manifest_describes_the_table(built: Built) -> None:
    manifest = built.store.release().manifest
    assert manifest["semantic_ids"] == {
        "levels": 2,
        "sizes": [4, 8],
        "suffix_size": 2,
        "columns": ["code_1", "code_2", "suffix"],
        "separator": "-",
    }
    assert manifest["num_items"] == 4
    assert manifest["catalogue_digest"] == "c0ffee"
    assert manifest["parent"] is None
    assert manifest["override"] is None
    assert manifest["created_by"] == "test"


def test_without_suffixes_there_is_no_suffix_column(built: Built) -> None:
    built.build("two", codes=CODES | {"b": (0, 7)}, suffixed=False)
    built.publish("two")
    layout = built.store.release().manifest["semantic_ids"]
    assert (layout["suffix_size"], layout["columns"]) == (0, ["code_1", "code_2"])
    found = lookup(built.store.release(), "b")
    assert (found.semantic_id, found.suffix, found.tokens) == ("0-7", None, (0, 4 + 7))


def test_an_item_is_looked_up_with_its_siblings(built: Built) -> None:
    found = lookup(built.store.release(), "b")
    assert found.semantic_id == "0-1-1"
    assert (found.codes, found.suffix) == ((0, 1), 1)
    assert found.tokens == (0, 4 + 1, 4 + 8 + 1)
    shared = [(s.prefix, s.num_items) for s in found.siblings]
    assert shared == [("0", 2), ("0-1", 1), ("0-1-1", 0)]


def test_a_prefix_finds_its_items_and_a_whole_id_one(built: Built) -> None:
    assert ids(built, "0") == ["a", "b", "c"]
    assert ids(built, "0-1") == ["a", "b"]
    assert ids(built, "0-1-1") == ["b"]
    assert ids(built, "1") == []


@pytest.mark.parametrize("semantic_id", ["", "x", "0-", "-1", "4", "0-8", "0-1-2", "0-1-1-0", "٣"])
def test_what_cannot_be_an_id_is_bad_input(built: Built, semantic_id: str) -> None:
    with pytest.raises(BadInput, match="no Semantic ID of v0001"):
        items_of(built.store.release(), semantic_id)


def test_an_unknown_item_is_bad_input_with_a_look_alike(built: Built) -> None:
    with pytest.raises(BadInput, match="no item 'A ' among its 4 items; there is a"):
        lookup(built.store.release(), "A ")
    with pytest.raises(BadInput, match=r"no item '\[' among its 4 items$"):
        lookup(built.store.release(), "[")


@pytest.fixture
def two_versions(built: Built) -> Built:
    """v0002: codes of level 1 renamed (0 -> 1, 3 -> 2), c gone, e new, retention down to .75."""
    built.build("two", codes={"a": (1, 1), "b": (1, 1), "d": (2, 3), "e": (0, 0)}, retention=0.75)
    built.set_params(seed=11)
    built.publish("two")
    return built


def test_a_difference_says_what_changed(two_versions: Built) -> None:
    store = two_versions.store
    difference = compare(store.release("v0001"), store.release("v0002"))
    # The first version had no champion to churn against; the second renames every code.
    churn = {name: change for name, change in difference.metrics.items() if "churn" in name}
    assert difference.metrics == churn | {"retention_at_100": MetricChange(0.8, 0.75, "worse")}
    assert (churn["churn"].after, churn["aligned_churn"].after) == (1.0, 0.0)
    assert difference.params == {"seed": (None, 11)}
    items = difference.items
    assert (items.num_before, items.num_after) == (4, 4)
    assert (items.added, items.removed, items.moved) == (("e",), ("c",), ("a", "b", "d"))


def test_renamed_codes_break_raw_stability_and_not_the_matched(two_versions: Built) -> None:
    store = two_versions.store
    codes = compare(store.release("v0001"), store.release("v0002")).codes
    assert codes is not None
    assert codes.raw == (0.0, 0.0)
    assert codes.matched == (1.0, 1.0)


def test_nothing_differs_from_itself(two_versions: Built) -> None:
    release = two_versions.store.release()
    difference = compare(release, release)
    assert (difference.metrics, difference.params) == ({}, {})
    assert difference.items.moved == ()
    assert difference.codes is not None
    assert difference.codes.raw == (1.0, 1.0)


def test_versions_and_history_are_in_order_with_the_champion_marked(two_versions: Built) -> None:
    rows = list_versions(two_versions.store)
    assert [(r.version, r.status, r.parent) for r in rows] == [
        ("v0001", "published", None),
        ("v0002", "champion", "v0001"),
    ]
    history = metric_history(two_versions.store, "retention_at_100")
    assert history.better == "higher"
    assert [(v.version, v.value, v.champion) for v in history.values] == [
        ("v0001", 0.8, False),
        ("v0002", 0.75, True),
    ]


def test_an_unknown_metric_is_bad_input_with_close_ones(built: Built) -> None:
    with pytest.raises(BadInput, match="did you mean retention_at_100"):
        metric_history(built.store, "retention_at_10")


def test_bars_are_in_proportion() -> None:
    assert bars([1.0, 0.5, None, 0.0], width=4) == ["████", "██", "", "▏"]
    assert bars([8.0, 3.0], width=1) == ["█", "▍"]
    assert bars([None], width=4) == [""]


def test_the_drawing_is_the_same_twice_and_its_text_is_escaped(
    two_versions: Built, tmp_path: Path
) -> None:
    from dataclasses import replace

    history = metric_history(two_versions.store, "retention_at_100")
    hostile = replace(history.values[0], tokenizer="<script>$x^2$ &")
    history = replace(history, values=(hostile, *history.values[1:]))
    draw_history(history, tmp_path / "one.svg")
    draw_history(history, tmp_path / "two.svg")
    drawn = (tmp_path / "one.svg").read_bytes()
    assert drawn == (tmp_path / "two.svg").read_bytes()
    assert b"<script>" not in drawn
    assert b"&lt;script&gt;$x^2$ &amp;" in drawn
    with pytest.raises(BadInput, match=r"ends in \.svg"):
        draw_history(history, tmp_path / "one.png")
