"""Settings that nobody wrote: refused at once, by name, with the way they are wrong."""

from __future__ import annotations

import pytest

from sidmint.errors import BadInput
from sidmint.yaml_files import parse_yaml

_BOMB = "a: &a [1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[" * 200_000, "nested more than 100 deep"),
        (b"{a: " * 5_000, "nested more than 100 deep"),
        (_BOMB.encode(), r"more than 20 references \(\*name\)"),
        (b"# long\n" * 200_000, "at most 1 MiB"),
        (b"a: " + b"9" * 5_000, "not valid YAML"),
        (b"a: \xff", "not valid YAML"),
        (b"a: [1", "not valid YAML"),
        (b"- 1\n- 2\n", "wants a mapping, has list"),
        (b"a: !!python/object/apply:os.system [ls]", "not valid YAML"),
    ],
)
def test_what_is_no_settings_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=f"params.yaml.*{said}"):
        parse_yaml(data, "params.yaml")


def test_settings_are_read_as_yaml_reads_them() -> None:
    assert parse_yaml(b"a: &x {b: 1}\nc: *x\n", "p") == {"a": {"b": 1}, "c": {"b": 1}}
    assert parse_yaml(b"", "p") == {}
