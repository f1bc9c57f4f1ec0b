"""Objects below one address of an S3 bucket: read, written on a condition, listed, removed."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from sidmint.errors import BadInput, StorageFailed

_LOST = {409, 412}
"""What S3 answers to a conditional write that came second."""

_PATIENCE = {
    "connect_timeout": 10,
    "read_timeout": 60,
    "retries": {"mode": "standard", "max_attempts": 5},
}


class Objects:
    """The objects at `address` (s3://BUCKET/PREFIX), by names relative to it.

    Credentials, region and endpoint are those of the environment, as for every S3 client
    (AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL, ...). Every method raises `StorageFailed`
    where the bucket does not answer as it should.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._root = address.removeprefix("s3://")
        self._bucket, _, self._prefix = self._root.partition("/")
        self._is_proven = False
        self._meanwhile = "What is published stays as it was"

    def read(self, name: str) -> tuple[bytes, str] | None:
        """An object's bytes and its tag, of one answer; None where there is none."""
        from fsspec.asyn import sync

        async def get() -> tuple[bytes, str]:
            answer = await self._files._call_s3(
                "get_object", Bucket=self._bucket, Key=self._key(name)
            )
            async with answer["Body"] as body:
                return await body.read(), answer["ETag"]

        with self.reaching():
            try:
                found: tuple[bytes, str] = sync(self._files.loop, get)
                return found
            except FileNotFoundError:
                self._require_bucket()
                return None

    def write(self, name: str, data: bytes, tag: str | None) -> bool:
        """Write an object in the place of the one with `tag`; None: where there is none.

        False where the bucket holds something else by now. A write that was made and whose answer
        was lost is made again by the client and then comes second to itself: the object is read
        again, and data that nobody else writes tells.
        """
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        with self.reaching():
            try:
                self._put(name, data, condition)
                return True
            except FileNotFoundError:  # the object with that tag is gone
                self._require_bucket()
                return False
            except _failures() as error:
                if not _came_second(error):
                    raise
                found = self.read(name)
                return found is not None and found[0] == data

    def names(self, below: str) -> list[str]:
        """Names of all objects below `below`, sorted."""
        with self.reaching():
            where = "/".join(part for part in (self._root, below) if part)
            found = self._files.find(where, withdirs=False)
            return sorted(key.removeprefix(f"{self._root}/") for key in found)

    def upload(self, files: Mapping[str, Path]) -> None:
        """Files under names that nobody else writes."""
        with self.reaching():
            keys = [f"{self._root}/{name}" for name in files]
            self._files.put([str(path) for path in files.values()], keys)

    def fetch(self, name: str, target: Path) -> None:
        """One object into a file."""
        with self.reaching():
            self._files.get_file(f"{self._root}/{name}", str(target))

    def remove(self, names: Iterable[str]) -> None:
        """One after another, in that order."""
        with self.reaching():
            for name in names:
                self._files.rm_file(f"{self._root}/{name}")

    def require_conditions(self) -> None:
        """`BadInput` if the bucket writes what a condition forbids; asked once a process.

        A store that ignores If-None-Match or If-Match would let two publishers both win.
        """
        if self._is_proven:
            return
        probe = f"probes/{uuid.uuid4().hex}"
        with self.reaching():
            try:
                kept = self.write(probe, b"first", None)
                ignored = [
                    name
                    for name, tag in (("If-None-Match", None), ("If-Match", '"0"'))
                    if self.write(probe, name.encode(), tag)
                ]
            finally:
                self._files.rm_file(f"{self._root}/{probe}")
        if ignored or not kept:
            raise BadInput(
                f"{self.address} does not honour conditional writes "
                f"({', '.join(ignored) or 'If-None-Match'}): two who publish at once would both "
                "win. AWS S3, MinIO, R2 and Ceph do in their newer releases; or keep the registry "
                "in a folder"
            )
        self._is_proven = True

    @contextmanager
    def reaching(self, meanwhile: str | None = None) -> Iterator[None]:
        """Turns what the client raises into `StorageFailed`.

        `meanwhile` says how things stand then, for every call within; None: as said outside.
        """
        outside = self._meanwhile
        self._meanwhile = meanwhile or outside
        try:
            yield
        except _failures() as error:
            raise StorageFailed(
                f"{self.address} did not answer as it should: {_said(error)}. {self._meanwhile}; "
                "check the address, the credentials (AWS_ACCESS_KEY_ID or AWS_PROFILE) and "
                "AWS_ENDPOINT_URL, then give the command again"
            ) from error
        finally:
            self._meanwhile = outside

    @cached_property
    def _files(self) -> Any:
        try:
            import s3fs
        except ImportError as error:
            raise BadInput(
                f"a registry at {self.address} wants s3fs: pip install 'sidmint[s3]'"
            ) from error
        # Nothing is shared with other users of s3fs: their endpoint may be another.
        return s3fs.S3FileSystem(
            use_listings_cache=False, config_kwargs=_PATIENCE, skip_instance_cache=True
        )

    def _key(self, name: str) -> str:
        return "/".join(part for part in (self._prefix, name) if part)

    def _put(self, name: str, data: bytes, condition: Mapping[str, str]) -> None:
        self._files.call_s3(
            "put_object", Bucket=self._bucket, Key=self._key(name), Body=data, **condition
        )

    def _require_bucket(self) -> None:
        if not self._files.exists(self._bucket):
            raise BadInput(
                f"there is no bucket {self._bucket!r}, or these credentials do not see it; make "
                "it first: a registry never makes one"
            )


def _failures() -> tuple[type[Exception], ...]:
    """What s3fs raises where a bucket, or the way to it, fails."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return (OSError,)
    return (OSError, BotoCoreError, ClientError)


def _came_second(error: BaseException) -> bool:
    """Whether S3 said so; s3fs hides the answer behind an error of the file system."""
    for each in (error, error.__cause__, error.__context__):
        answer = getattr(each, "response", None)
        if isinstance(answer, dict):
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return status in _LOST
    return False


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
