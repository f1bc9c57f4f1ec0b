"""A real S3 server on the loopback (moto's), with a place to make it fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Environ = dict[str, Any]
Fault = Callable[[Environ, "Answer"], "Iterable[bytes] | None"]
"""Called before each request: an answer in place of the server's, or None."""

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Answer:
    """How a fault answers: itself, or as the server would."""

    def __init__(self, application: Any, environ: Environ, start: Any) -> None:
        self._application, self._environ, self._start = application, environ, start

    def status(self, line: str, code: str) -> list[bytes]:
        """An error of S3's: `line` such as "500 Internal Server Error"."""
        self._start(line, [("Content-Type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()]

    def perform(self) -> None:
        """Do what was asked and throw the answer away, as a broken connection does."""
        for _ in self._application(self._environ, lambda *_: None):
            pass


class S3:
    """The server at `url`; `fault` may be set and unset while it runs."""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.requests: list[tuple[str, str]] = []
        application = DomainDispatcherApplication(create_backend_app)

        def faulty(environ: Environ, start: Any) -> Iterable[bytes]:
            self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
            answer = (
                self.fault(environ, Answer(application, environ, start)) if self.fault else None
            )
            return application(environ, start) if answer is None else answer

        self._server = make_server(
            "127.0.0.1", 0, faulty, threaded=True, request_handler=_SilentHandler
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """`fault` before each request."""
        self.fault = fault
        try:
            yield
        finally:
            self.fault = None

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()


class _SilentHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass


def keys() -> list[str]:
    """Every key of the bucket `tables`."""
    found = boto3.client("s3").list_objects_v2(Bucket="tables").get("Contents", ())
    return [each["Key"] for each in found]
