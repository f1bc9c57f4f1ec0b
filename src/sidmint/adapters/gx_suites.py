"""Run claims about a table with Great Expectations, and keep the outcome as Data Docs.

The only module that imports great_expectations, and only when called: it costs 3-5 seconds.
Claims are decided in memory, so that nothing on disk can change an answer; Data Docs are
written afterwards from the same result.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidmint.errors import SidmintError

if TYPE_CHECKING:
    import pandas as pd

_SOURCE, _ASSET = "sidmint", "table"


@dataclass(frozen=True)
class Claim:
    """One expectation about a table; several claims of one `name` stand or fall together."""

    name: str
    expectation: str
    """Class in `great_expectations.expectations`, e.g. "ExpectColumnValuesToBeUnique"."""
    arguments: Mapping[str, Any]
    severity: str = "critical"


@dataclass(frozen=True)
class Answer:
    """What Great Expectations says to all claims of one name."""

    holds: bool
    num_unexpected: int | None = None
    """Rows against it; None where the expectation counts none, or could not be evaluated."""
    examples: Sequence[Any] = field(default_factory=tuple)


def ask(
    suite: str, table: pd.DataFrame, claims: Sequence[Claim], docs: Path | None = None
) -> dict[str, Answer]:
    """Answers by name of claim. A claim that came back without a result does not hold.

    With `docs`, suite and outcome are added to the Data Docs of that folder; asking the
    same and being told the same adds nothing.
    """
    expectations = _expectations(claims)
    result = _validate(suite, table, expectations)
    answers = _answers(claims, result)
    if docs is not None:
        _document(docs, suite, expectations, result, answers)
    return answers


def _expectations(claims: Sequence[Claim]) -> list[Any]:
    import great_expectations as gx

    return [
        getattr(gx.expectations, claim.expectation)(
            **claim.arguments, severity=claim.severity, meta={"name": claim.name}
        )
        for claim in claims
    ]


def _validate(suite: str, table: pd.DataFrame, expectations: Sequence[Any]) -> Any:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas(_SOURCE)
    batch = source.add_dataframe_asset(_ASSET).add_batch_definition_whole_dataframe("whole")
    # An expectation belongs to one suite; copies leave the originals free for the Data Docs.
    own = [copy.copy(expectation) for expectation in expectations]
    definition = gx.ValidationDefinition(
        name=suite,
        data=batch,
        suite=context.suites.add(gx.ExpectationSuite(suite, expectations=own)),
    )
    context.validation_definitions.add(definition)
    return definition.run(batch_parameters={"dataframe": table})


def _answers(claims: Sequence[Claim], result: Any) -> dict[str, Answer]:
    """Fail-closed: a name holds only if every one of its claims came back, and came back true."""
    by_name: dict[str, list[Any]] = {claim.name: [] for claim in claims}
    for outcome in result.results:
        by_name[outcome.expectation_config.meta["name"]].append(outcome)
    answers = {}
    for name, outcomes in by_name.items():
        complete = len(outcomes) == sum(claim.name == name for claim in claims)
        failed = [outcome for outcome in outcomes if outcome.success is not True]
        details = failed[0].result if failed else {}
        answers[name] = Answer(
            holds=complete and not failed,
            num_unexpected=details.get("unexpected_count"),
            examples=tuple(details.get("partial_unexpected_list") or ()),
        )
    return answers


def _document(
    docs: Path, suite: str, expectations: Sequence[Any], result: Any, answers: dict[str, Answer]
) -> None:
    """Write suite and result into the project folder `docs` and rebuild their static HTML."""
    import great_expectations as gx
    from filelock import FileLock
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    docs.mkdir(parents=True, exist_ok=True)
    # Gates of several tokenizers run side by side and share the project's files.
    with FileLock(docs / ".lock"):
        try:
            context = gx.get_context(context_root_dir=docs)
        except Exception as error:  # its loader raises whatever YAML and its schemas raise
            raise SidmintError(
                f"the Great Expectations project in {docs} cannot be opened ({error}); "
                "delete that folder: it is only a display and is built anew"
            ) from error
        kept = [copy.copy(expectation) for expectation in expectations]
        context.suites.add_or_update(gx.ExpectationSuite(suite, expectations=kept))
        suite_key = ExpectationSuiteIdentifier(name=suite)
        run_id = _run_id(context, suite, kept, answers)
        result.meta["run_id"] = run_id
        key = ValidationResultIdentifier(suite_key, run_id, f"{_SOURCE}-{_ASSET}")
        context.validation_results_store.store_validation_results(result, key, suite_key)
        context.build_data_docs(resource_identifiers=[suite_key, key])


def _run_id(
    context: Any, suite: str, expectations: Sequence[Any], answers: Mapping[str, Answer]
) -> Any:
    """The run that first said the same to the same claims, or a new one of this moment."""
    from great_expectations.core.run_identifier import RunIdentifier

    asked = [expectation.configuration.to_json_dict() for expectation in expectations]
    for config in asked:
        config.pop("id", None)
    told = {name: [a.holds, a.num_unexpected, repr(a.examples)] for name, a in answers.items()}
    text = json.dumps([suite, asked, told], sort_keys=True, default=str)
    name = hashlib.sha256(text.encode()).hexdigest()[:12]
    for key in context.validation_results_store.list_keys():
        if key.run_id.run_name == name:
            return key.run_id
    return RunIdentifier(run_name=name, run_time=datetime.now(UTC))
