"""Settings of a part of the pipeline: frozen, checked, and errors that name the nearest key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from sidmint.errors import BadInput, did_you_mean


class Settings(BaseModel):
    """A frozen part of params.yaml; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def is_null(value: object) -> bool:
    """`exclude_if` of a setting that came later and is off by default.

    Null is not written down then: what was fitted before there was one keeps its bytes and rows.
    """
    return value is None


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
    others = f"; known here: {', '.join(known)}" if known else ""
    return f"unknown key {key}" + (did_you_mean(str(location[-1]), known) or others)


def _fields_at(model: Any, location: tuple[int | str, ...]) -> list[str]:
    """The field names of the section that `location` leads to, if it may be one."""
    parts = iter(location)
    for part in parts:
        field = getattr(model, "model_fields", {}).get(part)
        choices = (field.annotation, *get_args(field.annotation)) if field else ()
        named = next(
            (get_args(choice)[1] for choice in choices if get_origin(choice) is dict), None
        )
        if hasattr(named, "model_fields"):
            next(parts, None)  # a name of the user's own stands between the key and its section
            choices = (named,)
        model = next((choice for choice in choices if hasattr(choice, "model_fields")), None)
    return list(getattr(model, "model_fields", {}))
