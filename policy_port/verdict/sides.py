"""Which parsing a trace was recorded in, and what the port does with its observations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from policy_port.contract.layout import observation_slots
from policy_port.contract.spec import Contract
from policy_port.errors import EvidenceError, PortError
from policy_port.port.folder import Port
from policy_port.remap import Remap, build_remap
from policy_port.remap.affine import CONSTANT, AffineMap
from policy_port.remap.motion import target_motion
from policy_port.verdict.answers import Network
from policy_port.verdict.evidence import Evidence, Mask, Values
from policy_port.verdict.signals import check_action_width

SideName = Literal["source", "port"]


@dataclass(frozen=True, kw_only=True)
class Side:
    """The parsing of a trace, as one of the two that a port knows."""

    name: SideName
    """source: what the weights were trained with. port: what the ported policy reads."""
    contract: Contract
    """The contract of that side."""
    remap: Remap | None
    """From there to the port's side; None where the trace is the port's own."""
    reason: str
    """How it was found, in words."""


def find_side(port: Port, evidence: Evidence, wanted: SideName | None = None) -> Side:
    """Tell which side of a port a trace speaks: by the hash of its contract, then by its names and widths.

    Args:
        port: The port.
        evidence: The trace.
        wanted: The user's word for it.

    Raises:
        EvidenceError: When neither side has the trace's widths and joints.
    """
    if port.mapping is None:
        return Side(name="port", contract=port.contract, remap=None, reason="the port changes nothing")
    if wanted is not None:
        return _side(port, wanted, "as --side says")
    contracts: dict[SideName, Contract] = {"port": port.contract, "source": port.source_contract}
    for name, contract in contracts.items():
        if evidence.header.get("contract_sha256") == contract.sha256:
            return _side(port, name, f"its header carries the hash of the {name}'s contract")
    fits: dict[SideName, list[str]] = {name: _misfits(contract, evidence) for name, contract in contracts.items()}
    fitting: list[SideName] = [name for name, problems in fits.items() if not problems]
    if not fitting:
        raise EvidenceError(
            f"{evidence.path}: is of neither side of {port.path}; source: {'; '.join(fits['source'])}; port: "
            f"{'; '.join(fits['port'])}"
        )
    if len(fitting) == 1:
        other = "port" if fitting[0] == "source" else "source"
        return _side(port, fitting[0], f"the {other}'s side does not fit: {'; '.join(fits[other])}")
    return _side(port, "source", "joints and widths fit both sides, and a trace is the source's unless --side says")


def _side(port: Port, name: SideName, reason: str) -> Side:
    if name == "port" or port.mapping is None:
        return Side(name="port", contract=port.contract, remap=None, reason=reason)
    remap = build_remap(port.source_contract, port.mapping)
    return Side(name="source", contract=port.source_contract, remap=remap, reason=reason)


def _misfits(contract: Contract, evidence: Evidence) -> list[str]:
    found = []
    for what, recorded, needed in (
        ("observations", evidence.arrays["observation"].shape[2], contract.observation_size),
        ("actions", evidence.arrays["action"].shape[2], contract.action_size),
    ):
        if recorded != needed:
            found.append(f"{recorded} {what} recorded, {needed} needed")
    absent = [name for name in contract.joint_names if name not in evidence.joint_names]
    if absent:
        found.append(f"joint {', '.join(absent[:3])}{', ...' if len(absent) > 3 else ''} is not in the trace")
    for key, names in (
        ("action_names", contract.action_joint_names),
        ("observation_names", tuple(str(slot) for slot in observation_slots(contract))),
    ):
        stated = evidence.header.get(key)
        if isinstance(stated, list) and tuple(stated) != names and set(stated) == set(names):
            found.append(f"its {key} stand in another order")
    return found


def following(port: Port, side: Side, evidence: Evidence) -> Evidence:
    """The trace with the port's clip, in the parsing of the trace's side."""
    if port.motion is None:
        return evidence
    if side.remap is None or port.mapping is None:
        return replace(evidence, motion=port.motion)
    return replace(evidence, motion=target_motion(port.motion, port.mapping.inverse()))


def side_network(port: Port, side: Side, *, engine: str = "onnx") -> Network:
    """The port's network as one of the trace's side: it reads what was recorded there, and answers in the same way.

    Args:
        port: The port.
        side: The side of the trace; a source's observations are translated by the port's own mapping.
        engine: "onnx" or "torchscript".

    Raises:
        PortError: When the port does not hold that format.
        EvidenceError: When the port reads or answers with what a trace does not hold.
    """
    if port.contract.images:
        raise EvidenceError(f"{port.path}: reads camera images, which a trace does not hold; verify can't run it")
    if port.chunk is not None:
        raise EvidenceError(
            f"{port.path}: answers with chunks of actions, and a trace does not tell when each was asked for; verify "
            "compares policies that answer with one action"
        )
    file = port.onnx if engine == "onnx" else port.torchscript
    if file is None:
        other = "torchscript" if engine == "onnx" else "onnx"
        raise PortError(f"{port.path}: holds no {engine} file; run its other one with --engine {other}")
    run = port.run(file)

    def network(observation: Values, starts: Mask) -> Values:
        given = observation if side.remap is None else _undone(side.remap.observation, observation)
        actions = run(given.astype(np.float32), starts, {}).astype(np.float64)
        return actions if side.remap is None else _undone(side.remap.action, actions)

    return network


def check_widths(contract: Contract, evidence: Evidence) -> None:
    """Hold a trace's widths against a contract's.

    Raises:
        EvidenceError: Naming both widths and the terms that add up to the contract's.
    """
    width = evidence.arrays["observation"].shape[2]
    if width != contract.observation_size:
        raise EvidenceError(
            f"{evidence.path}: its observations have {width} numbers, contract '{contract.name}' describes "
            f"{contract.widths()}. Is it the trace of another policy, or is a term missing?"
        )
    check_action_width(contract, evidence)


def _undone(affine: AffineMap, values: Values) -> Values:
    """What a part of the port's own remap turned into the values; zero where no value shows it.

    For the observation that is what the port is shown, for the action what the source's network did: a joint that the
    remap holds still has no raw action.
    """
    given = np.zeros((*values.shape[:2], affine.n_in))
    for output in np.flatnonzero((affine.index != CONSTANT) & (affine.scale != 0.0)):
        given[:, :, affine.index[output]] = (values[:, :, output] - affine.offset[output]) / affine.scale[output]
    return given
