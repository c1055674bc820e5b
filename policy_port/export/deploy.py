"""The deploy graph of a port: written from its contract around the graph that was written before, and proved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from policy_port.contract.spec import Contract
from policy_port.deploy.describe import described, write_metadata
from policy_port.deploy.draw import draw_signals, move
from policy_port.deploy.step import Step, by_name
from policy_port.deploy.write import graph_of
from policy_port.errors import ContractError, EvidenceError, MotionError, RobotError, TaskError, one_line
from policy_port.export import onnx_graph
from policy_port.export.fold import fold
from policy_port.motion.motion import Motion
from policy_port.port import format as names
from policy_port.port.deployed import DeployGraph, DeploySample

if TYPE_CHECKING:
    from policy_port.checkpoints import LoadedPolicy
    from policy_port.remap import Remap

STEPS = 12
"""Of the stored sample; a reset stands in its middle."""


def write_deploy(folder: Path, policy: LoadedPolicy, remap: Remap, motion: Motion | None, seed: int) -> str:
    """Write deploy.onnx and its sample beside policy.onnx, and prove what was written.

    Returns:
        Why there is none; "" where there is one.

    Raises:
        ProofError: When the graph does not compute what the checkpoint computes.
    """
    contract = remap.target
    found = _step(folder, policy, contract, motion)
    if isinstance(found, str):
        return found
    network = onnx.load_model(folder / names.ONNX)
    # A normaliser before the first layer costs two operations of a dozen; what can't be folded stays.
    graph = graph_of(found, fold(network, observation=False, action=False))
    metadata: Mapping[str, str] = names.metadata(network)
    onnx_graph.set_metadata(graph, metadata)
    write_metadata(graph, described(contract, found, graph))
    onnx_graph.check(graph)
    path = folder / names.DEPLOY
    path.write_bytes(graph.SerializeToString())

    from policy_port.proof.deploy import prove_deploy

    try:
        prove_deploy(path, policy, remap, motion=motion, seed=seed)
    except EvidenceError as cause:
        # What traces of such a contract are never held against proves no graph either.
        path.unlink()
        return f"it can't be proved: {one_line(cause)}"
    drawn = draw_signals(contract, found, STEPS, 1, np.random.default_rng(seed))
    reset = [number in (0, STEPS // 2) for number in range(STEPS)]
    move(contract, drawn, reset)
    signals = {name: drawn[name] for name in found.signals}
    sample = DeploySample.run(DeployGraph(path, path.read_bytes()), signals, reset)
    (folder / names.DEPLOY_SAMPLE).write_text(sample.text(), encoding="utf-8", newline="\n")
    return ""


def _step(folder: Path, policy: LoadedPolicy, contract: Contract, motion: Motion | None) -> Step | str:
    if not (folder / names.ONNX).exists():
        return "no ONNX file was asked for"
    if policy.actor.chunk is not None:
        return f"the policy answers with chunks of {policy.actor.chunk} actions, which are performed outside a graph"
    if contract.images:
        return "the policy sees: what becomes of a camera's picture is not in the graph"
    try:
        return by_name(contract, motion=motion)
    except (TaskError, RobotError, MotionError, ContractError) as cause:
        return str(cause).partition(";")[0]
