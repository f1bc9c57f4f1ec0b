"""A bucket that lives as long as one test, on a server that lives as long as all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from s3 import S3


@pytest.fixture(scope="session")
def server() -> Iterator[S3]:
    from s3 import S3  # here, as it takes a second that most tests need not spend

    server = S3()
    yield server
    server.close()


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """The server with one empty bucket, `tables`."""
    import boto3

    from s3 import ENVIRONMENT, keys
    from sidmint.publishing import objects

    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(objects, "_PATIENCE", {"retries": {"mode": "standard", "max_attempts": 2}})
    client = boto3.client("s3")
    client.create_bucket(Bucket="tables")
    yield server
    for key in keys():
        client.delete_object(Bucket="tables", Key=key)
    client.delete_bucket(Bucket="tables")
