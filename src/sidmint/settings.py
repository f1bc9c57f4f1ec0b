"""Settings of a part of the pipeline: frozen, checked, and errors that name the nearest key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from sidmint.errors import BadInput


class Settings(BaseModel):
    """A frozen part of params.yaml; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=Settings)


def parse_settings(model: type[S], values: Any, where: str) -> S:
    """`values`, a mapping, checked by `model`; `BadInput` names `where`, the key and near keys."""
    try:
        return model.model_validate(dict(values) if isinstance(values, Mapping) else values)
    except ValidationError as error:
        problems = "; ".join(_explain(model, problem) for problem in error.errors())
        raise BadInput(f"{where}: {problems}") from error


def _explain(model: type[Settings], problem: Any) -> str:
    location = problem["loc"]
    key = ".".join(str(part) for part in location)
    if problem["type"] != "extra_forbidden":
        return f"{key}: {problem['msg']}, got {problem['input']!r}".removeprefix(": ")
    known = sorted(_fields_at(model, location[:-1]))
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    if close:
        return f"unknown key {key}; did you mean {close[0]}?"
    return f"unknown key {key}" + (f"; known here: {', '.join(known)}" if known else "")


def _fields_at(model: Any, location: tuple[int | str, ...]) -> list[str]:
    """The field names of the section that `location` leads to, as far as it is one."""
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    return list(getattr(model, "model_fields", {}))
