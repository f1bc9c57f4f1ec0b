"""How a flow that is run as a command answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from flows.server import told_if_it_is_gone
from flows.settings import end_well_on_sigterm
from sidmint.errors import SidmintError


def answer(run: Callable[[], dict[str, Any]]) -> int:
    """Print what the flow announces as JSON, or its error; the exit code."""
    end_well_on_sigterm()
    try:
        with told_if_it_is_gone():
            message = run()
    except SidmintError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(message, indent=2, sort_keys=True))
    return 0
