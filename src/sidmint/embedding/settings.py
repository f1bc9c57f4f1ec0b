"""The section `embed` of params.yaml: where vectors come from."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sidmint.embedding.source import JOINED, SourceParams
from sidmint.settings import Settings

_SOURCE = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""Names of sources are keys of tensors, columns and command-line options."""


class EmbedParams(Settings):
    """How items become vectors."""

    encoder: Literal["wordllama", "sentence_transformer", "precomputed"] = "wordllama"
    model: str = "all-MiniLM-L6-v2"
    """For `sentence_transformer`: a Hugging Face id or a folder (DVC follows those in data/raw)."""
    path: str | None = None
    """For `precomputed`: Parquet with item_id, or .npy with the rows of the file `ingest.items`."""
    template: str = "{title}. {brand}. {categories}"
    """Columns of the items table in braces; a missing value leaves its part of the text out."""
    batch_size: int = Field(32, ge=1)
    """Texts at a time; those that pass a network together have one number of tokens. More take more
    memory, to the same vectors."""
    workers: int = Field(1, ge=1)
    """Processes that encode texts on a processor, each with the model and a share of the cores.
    The vectors are those of one."""
    unit_norm: bool = True
    sources: dict[str, SourceParams] | None = None
    """Several vectors an item, by a name of yours: each from an encoder or a file, with a weight,
    PCA and whitening of its own. They stand side by side in the order of their names; `unit_norm`
    then scales the whole. In place of `encoder` and `path`."""
    collaborative: str | None = None
    """Parquet with item_id, or .npy with the rows of the file `ingest.items`: vectors that a
    recommender has of the items, for tokenizers that align with them (`letter`). Items may be
    missing. They are no part of the embeddings."""

    @model_validator(mode="before")
    @classmethod
    def _second_is_a_source(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "second" not in values:
            return values
        second = values["second"]
        if second is not None:
            path, weight = "FILE", 1.0
            if isinstance(second, dict):
                path, weight = second.get("path", path), second.get("weight", weight)
            raise ValueError(
                "second is one of any number of sources now; the same vectors are made by sources: "
                f"{{first: {{encoder: ..., or path: ...}}, second: {{path: {path}, weight: "
                f"{weight}}}}}"
            )
        return {key: value for key, value in values.items() if key != "second"}

    @field_validator("sources")
    @classmethod
    def _named_and_heard(
        cls, sources: dict[str, SourceParams] | None
    ) -> dict[str, SourceParams] | None:
        if sources is None:
            return None
        if not any(source.weight for source in sources.values()):
            raise ValueError("name one source at least whose weight is above 0")
        for name in sources:
            if not _SOURCE.fullmatch(name):
                raise ValueError(
                    f"source {name!r} wants a name of small letters, digits and '_', at most 32, "
                    "beginning with a letter"
                )
            if name == JOINED:
                raise ValueError(f"source {name!r} is what the page calls all of them together")
        return dict(sorted(sources.items()))

    @model_validator(mode="after")
    def _sources_alone_or_none(self) -> EmbedParams:
        if self.sources is not None and (self.path or self.encoder != "wordllama"):
            raise ValueError(
                "sources take the place of encoder and path: name each as a source, and take "
                "embed.encoder and embed.path out"
            )
        return self

    @model_validator(mode="after")
    def _workers_have_texts(self) -> EmbedParams:
        if self.sources is None:
            reads_texts = self.encoder != "precomputed"
        else:
            reads_texts = any(source.encoder for source in self.sources.values())
        if self.workers > 1 and not reads_texts:
            raise ValueError(
                f"workers is {self.workers}, and they encode texts: these vectors come from files; "
                "take workers out"
            )
        return self

    @model_validator(mode="after")
    def _path_for_precomputed_alone(self) -> EmbedParams:
        if (self.encoder == "precomputed") != (self.path is not None):
            raise ValueError("encoder precomputed wants a path, and no other encoder reads one")
        return self
