"""How Prefect treats a stage: again, for how long, under which tags. The graph is not here.

Tags name what a stage needs of the machine. To let one training at a time use the GPU:
`prefect concurrency-limit create gpu 1`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    ValidationError,
)

from sidmint.errors import BadInput

_HOUR = 3600.0


class StageOptions(BaseModel):
    """The clock's settings for every node of one stage; anything else is in dvc.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retries: NonNegativeInt = 0
    """More attempts after a failure that another attempt may mend (see `worth_another_try`)."""
    retry_delay_seconds: NonNegativeFloat = 10.0
    timeout_seconds: PositiveFloat = _HOUR
    """Wall time of one attempt; then the stage and all it started is killed."""
    tags: frozenset[str] = frozenset()


STAGE_OPTIONS: Mapping[str, StageOptions] = {
    # Large files on network drives, and encoders that are downloaded on first use.
    "ingest": StageOptions(retries=1, timeout_seconds=4 * _HOUR),
    "embed": StageOptions(retries=1, timeout_seconds=12 * _HOUR),
    "train": StageOptions(timeout_seconds=24 * _HOUR, tags=frozenset({"gpu"})),
    "evaluate": StageOptions(timeout_seconds=4 * _HOUR),
}
"""By the stage's name in dvc.yaml. A stage that is not here has the defaults above."""


def read_options(values: Mapping[str, Mapping[str, Any]]) -> dict[str, StageOptions]:
    """The checked form of options given as plain values, e.g. {"train": {"retries": 1}}."""
    try:
        return {stage: StageOptions.model_validate(given) for stage, given in values.items()}
    except ValidationError as error:
        raise BadInput(f"options of a stage: {error}") from error


def check_options(options: Mapping[str, StageOptions], stages: set[str]) -> None:
    """Raise `BadInput` if `options` names a stage that dvc.yaml does not have."""
    unknown = sorted(set(options) - stages)
    if unknown:
        raise BadInput(
            f"flows/stage_options.py has options for {', '.join(unknown)}, but dvc.yaml has the "
            f"stages {', '.join(sorted(stages))}; an option for no stage has no effect"
        )


def worth_another_try(exit_code: int | None) -> bool:
    """Whether a stage that left with `exit_code` may do better the next time.

    Not on bad input (2): it is as it was. A drive that did not answer is 1, the kernel's
    out-of-memory killer a negative code, a failure of DVC itself None.
    """
    return exit_code != 2
