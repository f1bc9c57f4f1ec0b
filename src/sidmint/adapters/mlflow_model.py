"""A published table as an MLflow model: item ids in, Semantic IDs out.

MLflow stores this file as it stands and runs it when the model is loaded ("models from
code"), so it imports nothing of sidmint and nothing is pickled. Beside it lie sids.parquet
and the tokenizer's folder.
"""

from __future__ import annotations

import mlflow
import pandas as pd
import polars as pl
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class SemanticIdTable(PythonModel):
    """Looks items up in sids.parquet; it does not run the tokenizer."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the table once, when the model is loaded."""
        self._table = pl.read_parquet(context.artifacts["sids"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: object = None
    ) -> pd.DataFrame:
        """One row a row of `model_input`, in its order: item_id, codes, suffix, semantic_id.

        An item that the table does not have gets nulls. `model_input` needs the column item_id.
        """
        wanted = pl.DataFrame({"item_id": [str(item) for item in model_input["item_id"]]})
        found = wanted.join(self._table, on="item_id", how="left", maintain_order="left")
        return found.to_pandas().convert_dtypes()  # else one unknown item makes all codes floats


mlflow.models.set_model(SemanticIdTable())
