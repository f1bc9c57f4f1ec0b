"""What DVC knows: the graph of dvc.yaml, which nodes are stale, and how one node is run.

DVC decides what is cached; nobody else does. The graph is read from `Repo.index.graph`,
so an edge is written in dvc.yaml alone. A node is named as `dvc repro` names it in the
workspace: `train@rq_vae`, or `data/raw/items.csv.dvc` for a file under `dvc add`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from sidmint.errors import BadInput, Refused, StorageFailed
from sidmint.yaml_files import parse_yaml

Effect = Literal["Ran", "Restored", "Cached"]
"""A node's command ran; its outputs came out of DVC's run cache; or it was up to date."""

_SKIPPED = re.compile(r"(?:Stage )?'.*' didn't change, skipping")
_RESTORED = re.compile(r"Stage '.*' is cached - skipping run, checking out outputs")
_ADVICE = re.compile(
    r"\s*(|To track the changes with git, run:|git add .*|To enable auto staging, run:|"
    r"dvc config core\.autostage true|Use `dvc push` to send your updates to remote storage\.|"
    r"(Updating|Generating) lock file '.*')"
)
_EXIT_CODE = re.compile(r"exited with (-?\d+)")
_DVC = (sys.executable, "-P", "-m", "sidmint.adapters.dvc_program")
"""-P: what lies in the workspace is not taken for a module of DVC's."""


@dataclass(frozen=True)
class Graph:
    """`upstream[node]` are the nodes it waits for; the nodes come after all they wait for."""

    upstream: Mapping[str, tuple[str, ...]]

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node, in an order in which they could run one by one."""
        return tuple(self.upstream)

    @property
    def stages(self) -> set[str]:
        """Names in dvc.yaml that the nodes come from: `train` for `train@rq_vae`."""
        return {stage_of(node) for node in self.upstream}

    def downstream(self, node: str) -> list[str]:
        """Every node that waits for `node`, directly or not, in running order."""
        reached = {node}
        for later, upstream in self.upstream.items():
            if reached.intersection(upstream):
                reached.add(later)
        return [later for later in self.upstream if later in reached - {node}]


@dataclass(frozen=True)
class Plan:
    """The graph, and of the nodes that are stale as things lie now: why."""

    graph: Graph
    stale: Mapping[str, tuple[str, ...]]


def stage_of(node: str) -> str:
    """The stage that `node` is a part of: what stands before the matrix suffix."""
    return node.partition("@")[0]


def read_plan(root: Path) -> Plan:
    """The graph of the workspace at `root` and what `dvc status` says of each node.

    It holds what `dvc repro` would visit: the stages of the workspace's dvc.yaml and all
    they depend on, `.dvc` files included. A node that is up to date now may be stale as
    soon as a node before it has run; only DVC can tell, at that moment.
    """
    from dvc.repo import lock_repo

    with _open(root) as repo, lock_repo(repo):
        stages = _pipeline(repo)
        graph = Graph({name: upstream for name, (_, upstream) in stages.items()})
        stale = {}
        for name, (stage, _) in stages.items():
            for reasons in stage.status(check_updates=True).values():
                stale[name] = tuple(_in_words(reasons))
        return Plan(graph, stale)


def stale_reasons(root: Path) -> dict[str, list[str]]:
    """Every stale node with the reasons in words; empty when all is up to date."""
    return {node: list(reasons) for node, reasons in read_plan(root).stale.items()}


def build_digest(root: Path, graph: Graph) -> str:
    """SHA-256 over what dvc.lock says of the graph's nodes: the name of a build's content.

    Equal commands, parameters, inputs and outputs give an equal digest, whatever the
    order in which the stages ended and whatever else the lock file still remembers.
    """
    path = root / "dvc.lock"
    locked = parse_yaml(path.read_bytes(), str(path)) if path.is_file() else {}
    entries = locked.get("stages", {})
    known = {node: entries[node] for node in graph.nodes if node in entries}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


STARTED = (".dvc/config", ".dvc/.gitignore")
"""What `start` adds to a folder that git should keep."""
_CONFIG = """\
[core]
    analytics = false
[cache]
    type = "reflink,copy"
"""


def start(root: Path, inside_another: bool) -> None:
    """Put the folder `root` under DVC, as a clone of sidmint is.

    `inside_another`: it is a folder of a git repository whose root lies above.
    """
    where = ["--subdir"] if inside_another else []
    _called(root, "init", "--quiet", *where)
    (root / ".dvc" / "config").write_text(_CONFIG, encoding="utf-8")


def add(root: Path, paths: Sequence[Path]) -> None:
    """Put `paths` (files or folders inside the workspace) under DVC: one `.dvc` file each."""
    ended = _run(root, "add", "--quiet", *map(str, paths))
    if ended.returncode:
        raise BadInput(f"`dvc add` refused the files: {ended.stderr.strip()}")


def default_remote(root: Path) -> str | None:
    """The name of the remote that `dvc push` sends to; None where the workspace names none."""
    with _open(root) as repo:
        name: str | None = repo.config["core"].get("remote")
    return name


def push(root: Path) -> str | None:
    """Send the workspace's inputs and outputs to the default remote; returns its name, if any.

    With them anybody who has the git revision can rerun it. Raises `StorageFailed` with what DVC
    said where the remote cannot be reached.
    """
    if not (root / ".dvc").is_dir() or (remote := default_remote(root)) is None:
        return None
    ended = _run(root, "push", "--quiet")
    if ended.returncode:
        raise StorageFailed(
            f"`dvc push` to {remote} failed: {ended.stderr.strip() or ended.stdout.strip()}"
        )
    return remote


def share_cache(root: Path, other: Path) -> None:
    """Let the checkout at `other` find what the repository at `root` keeps, remotes included."""
    local = root / ".dvc" / "config.local"
    if local.is_file():
        shutil.copyfile(local, other / ".dvc" / "config.local")
    cache = _called(root, "cache", "dir").strip()
    _called(other, "config", "--local", "cache.dir", str((root / cache).resolve()))


def restore(root: Path, inputs: Mapping[str, Mapping[str, Any]]) -> None:
    """Bring `inputs` into the checkout at `root`: path -> what a `.dvc` file says of it.

    From the cache, else from a remote; `BadInput` where neither has it.
    """
    if not inputs:
        return
    files = []
    for path, output in sorted(inputs.items()):
        file = root / f"{path}.dvc"
        file.parent.mkdir(parents=True, exist_ok=True)
        content = {"outs": [{**output, "path": Path(path).name}]}
        file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        files.append(str(file.relative_to(root)))
    try:
        _called(root, "checkout", "--quiet", *files)
    except BadInput:
        _called(root, "pull", "--quiet", *files)


def run_everything_again(root: Path, environment: Mapping[str, str], stdout: Any) -> int:
    """`dvc repro` in which every stage runs, nothing comes from a cache or goes into one.

    Returns the exit code; what DVC and the stages say goes to `stdout`.
    """
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--force"]
    command += ["--no-run-cache", "--no-commit"]
    return subprocess.run(command, cwd=root, env=dict(environment), stdout=stdout).returncode


def _called(root: Path, *arguments: str) -> str:
    """What `dvc ARGUMENTS` said in `root`; `BadInput` with its error if it failed."""
    ended = _run(root, *arguments)
    if ended.returncode:
        raise BadInput(f"`dvc {arguments[0]}` failed in {root}: {ended.stderr.strip()}")
    return ended.stdout


def _run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(
        command, cwd=root, env=repro_environment(), capture_output=True, text=True
    )


def repro_command(node: str, root: Path) -> list[str]:
    """The command that brings `node` of the workspace at `root` alone up to date.

    Beside others that do the same: without `--single-item` parallel calls walk over the same
    upstream stages and fail on each other's locks; without `--wait-for-lock` some give up after
    three seconds. Where DVC tracks manifests alone, its cache of runs has no parts to give back.
    """
    made_here = ["--no-run-cache"] if tracks_manifests_alone(root) else []
    made_here += ["--force"] if lacks_parts(node, root) else []
    return [*_DVC, "--wait-for-lock", "repro", *made_here, "--single-item", node]


def tracks_manifests_alone(root: Path) -> bool:
    """Whether `.dvcignore` of the workspace has the line `PARTS_PATTERN`.

    Then DVC knows a table in parts by its parts.json, which has the SHA-256 of each part, and
    neither reads, nor keeps, nor gives back the parts.
    """
    ignored = root / ".dvcignore"
    lines = ignored.read_text(encoding="utf-8").splitlines() if ignored.is_file() else []
    return PARTS_PATTERN in map(str.strip, lines)


def lacks_parts(node: str, root: Path) -> bool:
    """Whether DVC would take `node` for made, or give back its outputs, where parts are missing.

    Only where it tracks manifests alone: else it misses parts itself, and has them. A node that
    never ran lacks none.
    """
    lock = root / "dvc.lock"
    if not tracks_manifests_alone(root) or not lock.is_file():
        return False
    stages = yaml.safe_load(lock.read_bytes()).get("stages", {})
    outputs = [root / each["path"] for each in stages.get(node, {}).get("outs", [])]
    if not all(map(_is_whole, outputs)):
        return True
    # Other manifests than those of the lock: DVC would put these in their place, without parts.
    changes = json.loads(_called(root, "status", "--json", node)) if outputs else {}
    return any("changed outs" in each for each in changes.get(node, ()))


def _is_whole(output: Path) -> bool:
    from sidmint.execution.checking import open_shards
    from sidmint.execution.shards import PARTS

    try:
        for manifest in sorted(output.rglob(PARTS)) if output.is_dir() else ():
            open_shards(manifest.parent)
    except BadInput:
        return False
    return True


PARTS_PATTERN = "/data/build/**/part-*.parquet"
"""Of what stages make alone: files under data/raw may have such names too."""


def repro_environment() -> dict[str, str]:
    """The environment for `repro_command`: stages are `sidmint STAGE`, found beside this Python."""
    beside = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": os.pathsep.join((beside, os.environ.get("PATH", os.defpath))),
        "PYTHONUNBUFFERED": "1",
        "DVC_NO_ANALYTICS": "1",
    }


def effect_of(lines: Sequence[str]) -> Effect:
    """What a `repro_command` that left with 0 did, from what it printed."""
    if any(_RESTORED.fullmatch(line) for line in lines):
        return "Restored"
    return "Cached" if any(_SKIPPED.fullmatch(line) for line in lines) else "Ran"


def is_advice(line: str) -> bool:
    """Whether DVC says what it says after every stage: what to type next, or that it took note."""
    return _ADVICE.fullmatch(line) is not None


def exit_code_in(lines: Sequence[str]) -> int | None:
    """The exit code of the stage's own command, as DVC's error names it; None if it does not."""
    for line in reversed(lines):
        if found := _EXIT_CODE.search(line):
            return int(found.group(1))
    return None


@contextmanager
def _open(root: Path) -> Iterator[Any]:
    """DVC's `Repo` at `root`; its errors become `BadInput`, or `Refused` while it is in use."""
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.lock import LockError
    from dvc.repo import Repo

    try:
        with Repo(str(root), _wait_for_lock=True) as repo:
            yield repo
    except NotDvcRepoError as error:
        raise BadInput(
            f"{root} is not under DVC; `sidmint new FOLDER` makes a workspace that is, `dvc init` "
            "puts this folder under it"
        ) from error
    except LockError as error:
        raise Refused(f"another run is at work in {root}: {error}") from error
    except DvcException as error:
        raise BadInput(f"DVC cannot read {root / 'dvc.yaml'}: {error}") from error


def _pipeline(repo: Any) -> dict[str, tuple[Any, tuple[str, ...]]]:
    """What `dvc repro` visits: node -> (DVC's stage, the nodes it waits for), in running order."""
    import networkx as nx
    from dvc.repo.reproduce import get_active_graph

    graph = get_active_graph(repo.index.graph)  # edges lead from a stage to what it needs
    targets = [stage for stage in graph if stage.path_in_repo == "dvc.yaml"]
    needed = set(targets).union(*(nx.descendants(graph, stage) for stage in targets))
    order = nx.lexicographical_topological_sort(graph.subgraph(needed).reverse(), key=_name)
    return {
        _name(stage): (stage, tuple(sorted(map(_name, graph.successors(stage))))) for stage in order
    }


def _name(stage: Any) -> str:
    """As DVC names it when run in the workspace; its `addressing` depends on where we are."""
    path, name = str(stage.path_in_repo), getattr(stage, "name", None)
    if name is None:
        return path
    return str(name) if path == "dvc.yaml" else f"{path}:{name}"


def _in_words(reasons: Sequence[Any]) -> Iterator[str]:
    for reason in reasons:
        if isinstance(reason, str):
            yield reason
            continue
        for what, changes in reason.items():
            yield f"{what}: {_flat(changes)}"


def _flat(changes: Any) -> str:
    if not isinstance(changes, Mapping):
        return str(changes)
    return ", ".join(f"{key} {_flat(value)}" for key, value in changes.items())
