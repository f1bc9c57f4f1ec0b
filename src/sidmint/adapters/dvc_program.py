"""`python -P -m sidmint.adapters.dvc_program ...` is `dvc ...`, a quarter of a second sooner.

A build calls it once a node. Not in `dvc_repo`: what a process runs as a program it must not
have imported before.
"""

from __future__ import annotations

import sys

from sidmint.garbage import collect_rarely


def main() -> int:
    """DVC's own exit code."""
    collect_rarely()
    from dvc.cli import main as dvc

    return int(dvc(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
