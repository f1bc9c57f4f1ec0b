"""A published table as an MLflow model: texts, vectors or item ids in, Semantic IDs out.

MLflow stores this file as it stands and runs it when the model is loaded ("models from code").
The package beside it in the model's code folder is the one that published the table; the model's
own files are Parquet, safetensors and JSON. Nothing is pickled.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from sidmint.adapters.mlflow_files import read_files
from sidmint.errors import BadInput
from sidmint.publishing.encoding import Encoded

COLUMNS = ("text", "vector", "item_id")


class SemanticIdModel(PythonModel):
    """The tokenizer with its text encoder, and the table for items that are published."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read everything when the model is loaded, so that the first answer is not the slow one.

        `BadInput` where a file is not the one that was registered.
        """
        # Read when torch is loaded: threads that spin while they wait starve the server's others.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        self._carried = read_files(Path(context.artifacts["table"]))
        _ = self._carried.new.tokenizer
        if self._carried.reads_texts:
            sources = self._carried.new.sources
            _ = self._carried.new.encoder if sources is None else (sources.encoders, sources.fitted)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: object = None
    ) -> pd.DataFrame:
        """One row a row of `model_input`, in its order: `semantic_id` and `codes`.

        `model_input` has one of the columns `text` (str), `vector` (D numbers) and `item_id`
        (str). Texts and vectors get what the tokenizer says, as `PublishedTable.encode`: codes
        without a suffix. An item id gets its published id and codes, null where the table does
        not have it. What cannot be answered is an INVALID_PARAMETER_VALUE of MLflow.
        """
        asked = [name for name in COLUMNS if name in model_input.columns]
        try:
            if len(asked) != 1:
                raise BadInput(
                    f"the model wants one column of {', '.join(COLUMNS)}, got "
                    f"{', '.join(map(str, model_input.columns)) or 'none'}"
                )
            values = model_input[asked[0]].tolist()
            return self._answer(asked[0], values)
        except BadInput as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from error

    def _answer(self, column: str, values: list[Any]) -> pd.DataFrame:
        if column == "item_id":
            return self._published(values)
        new = self._carried.new
        codes = new.codes(new.vectors_of(values) if column == "text" else new.ready(values))
        ids = Encoded(codes).semantic_ids
        return pd.DataFrame({"semantic_id": ids, "codes": codes.tolist()})

    def _published(self, items: list[Any]) -> pd.DataFrame:
        found = self._carried.published(list(map(str, items)))
        return pd.DataFrame(found.to_dict(as_series=False), dtype=object)


mlflow.models.set_model(SemanticIdModel())
