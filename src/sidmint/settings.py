"""Settings of a part of the pipeline: frozen, checked, and errors that name the nearest key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from sidmint.errors import BadInput


class Settings(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=Settings)


def parse_settings(model: type[S], values: Mapping[str, Any], where: str) -> S:
    """`values` checked by `model`; `BadInput` names `where` in params.yaml and near keys."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        problems = [_explain(model, problem, where) for problem in error.errors()]
        raise BadInput("; ".join(problems)) from error


def _explain(model: type[Settings], problem: Any, where: str) -> str:
    key = ".".join((where, *(str(part) for part in problem["loc"])))
    if problem["type"] != "extra_forbidden":
        return f"{key}: {problem['msg']}, got {problem['input']!r}"
    known = sorted(model.model_fields) if len(problem["loc"]) == 1 else []
    close = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
    if close:
        return f"unknown setting {key}; did you mean {close[0]}?"
    return f"unknown setting {key}" + (f"; known here: {', '.join(known)}" if known else "")
