"""Cases on a Ray cluster: each node runs its share in processes of its own, as one machine would.

The suite and all that it names must lie at the same paths on every node, as on a shared disk. A node on which
something else lies there, or that has other versions, is found out by the same hash that the cache goes by.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import platform
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from policy_port.errors import MissingDependencyError
from policy_port.regress.process import Job, Performer, perform


def on_ray(address: str | None = None) -> Performer:
    """Run jobs on a cluster.

    Args:
        address: Where it is; what RAY_ADDRESS says, or the one on this machine, if None.

    Raises:
        MissingDependencyError: When Ray is not installed or there is no such cluster.
    """
    try:
        import ray
        from ray.exceptions import RayError
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "--ray needs Ray, which is not installed: pip install 'policy-port[ray]'"
        ) from None
    if not ray.is_initialized():
        where = address or os.environ.get("RAY_ADDRESS", "auto")
        try:
            ray.init(address=where, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise MissingDependencyError(
                f"no Ray cluster answers at '{where}' ({reason}); start one with `ray start --head`, or name it in "
                "RAY_ADDRESS"
            ) from None

    def run(todo: Sequence[Job]) -> Iterator[tuple[Job, dict[str, Any]]]:
        # A case that lost its node is tried on another one; one that crashed its own process has been judged.
        remote = ray.remote(max_retries=2, num_cpus=1)(perform_there)
        waiting: dict[Any, Job] = {}
        for job in todo:
            waiting[remote.remote(type(job), dataclasses.asdict(job), job.depends)] = job
        while waiting:
            (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
            job = waiting.pop(ready)
            try:
                yield job, ray.get(ready)
            except RayError as error:
                reason = str(error).splitlines()[0]
                yield job, {"elsewhere": f"its node was lost: {reason}", "seconds": 0.0}

    return run


def cores() -> int:
    """How many cores the cluster has that `on_ray` has found."""
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def perform_there(kind: type[Job], given: dict[str, Any], expected: str) -> dict[str, Any]:
    """Run one job on a node.

    Args:
        kind: Class of the job.
        given: The job as data.
        expected: Its `depends` where the run was started.
    """
    import ray

    from policy_port.errors import PolicyPortError

    node = f"node {platform.node()}"
    job = kind(**given)
    try:
        found = job.depends
    except (PolicyPortError, OSError, StopIteration) as error:
        return {"elsewhere": f"{node} can't read what it is to run: {error}", "seconds": 0.0}
    if found != expected:
        text = f"{node} has other files or versions than the machine that started the run, so it was not judged there"
        return {"elsewhere": text, "seconds": 0.0}
    with tempfile.TemporaryDirectory(prefix="policy_port_regress_") as folder:
        there = dataclasses.replace(job, out=str(Path(folder)))
        return {**perform(there), "node": ray.get_runtime_context().get_node_id()}
