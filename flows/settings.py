"""Prefect's settings for the commands in this folder. A setting that is already there wins."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

_DEFAULTS = {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # The first start of a server of our own migrates its database.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # A server that is gone is found out in a minute, not in five: each call waits 2, 4, 8 s.
    "PREFECT_CLIENT_MAX_RETRIES": "3",
    "PREFECT_LOGGING_FORMATTERS_STANDARD_FLOW_RUN_FMT": "%(message)s",
    "PREFECT_LOGGING_FORMATTERS_STANDARD_TASK_RUN_FMT": "%(task_run_name)s | %(message)s",
}


def end_well_on_sigterm() -> None:
    """Let SIGTERM end this process as `sys.exit` does, so that Prefect's own server ends too."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def prepare_prefect() -> None:
    """Set what Prefect reads when it is imported, and make its home folder."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    home.mkdir(parents=True, exist_ok=True)  # else SQLite cannot open its file there
