"""Named plug-ins: tokenizers, losses, encoders and sources are found by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from sidmint.errors import BadInput, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """A map from a name in `params.yaml` to the class or function that serves it.

    `kind` is the word the error uses: "unknown tokenizer 'rq_means'; ...".
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that files its object under `name`; a name can be taken once."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            known = ", ".join(self)
            close = did_you_mean(name, self)
            raise BadInput(f"unknown {self.kind} {name!r}; choose one of: {known}{close}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))
