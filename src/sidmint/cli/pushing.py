"""Send what a new version was made of to DVC's default remote, where there is one."""

from __future__ import annotations

from sidmint.cli.output import errors, warn
from sidmint.cli.workspace import Workspace
from sidmint.errors import SidmintError


def push_inputs(here: Workspace, version: str) -> None:
    """`dvc push`, when `version` has just been made: later the workspace may hold other inputs.

    The version is there whether the remote can be reached or not, so a failure is a warning.
    """
    from sidmint.adapters.dvc_repo import push

    try:
        remote = push(here.layout.root)
    except SidmintError as error:
        warn(
            f"{version} is in the registry, but its inputs are not in DVC's remote yet: {error}; "
            "`dvc push` sends them"
        )
    else:
        if remote:
            errors.print(f"inputs and outputs are in DVC's remote {remote}", markup=False)
