"""What the control loop's own code, and a verdict, are shown of a mistake."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mutation_recordings import Arrays, turned
from numpy.typing import NDArray

from policy_port.contract import Contract
from policy_port.contract.place import Place
from policy_port.control.action import ActionDecoder
from policy_port.control.observation import ObservationBuilder
from policy_port.control.plant import Mounting
from policy_port.control.signals import Mountings, Signals
from policy_port.trace import Recorder
from policy_port.verdict.answers import Network
from policy_port.verdict.evidence import Evidence, read_evidence
from policy_port.verdict.recorded_arrays import is_place


def run_control(contract: Contract, arrays: Arrays, joint_names: tuple[str, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Observations and targets that the control loop's own code makes of a recorded state: is a mistake visible?"""
    signals = Signals(contract, joint_names, 1, places_of(arrays))
    builder, decoder = ObservationBuilder(contract, signals), ActionDecoder(contract, signals)
    observations, targets, steps = [], [], 0
    for step in range(len(arrays["observation"])):
        for name in ("joint_pos", "joint_vel", "base_pos", "base_quat", "base_lin_vel", "base_ang_vel"):
            getattr(signals.state, name)[...] = arrays[name][step]
        for name, array in ({} if signals.state.sensed is None else signals.state.sensed.arrays).items():
            array[...] = arrays.get(name, np.zeros((len(observations) + 1, *array.shape)))[step]
        signals.command[...] = arrays["command"][step]
        if signals.goal.size:
            signals.goal[...] = arrays["goal"][step]
        if step == 0 or arrays["episode"][step] != arrays["episode"][step - 1]:
            signals.reset()
            builder.reset()
            steps = 0
        signals.time[...] = steps * contract.control_dt
        steps += 1
        observations.append(builder.build().copy())
        targets.append(decoder.decode(arrays["action"][step]).copy())
    return np.stack(observations), np.stack(targets)


def places_of(arrays: Arrays) -> Mountings:
    """Where things are on the base by what a trace says."""

    def mounting(place: Place | Literal["com"]) -> Mounting:
        if not isinstance(place, Place):
            return Mounting(np.asarray(arrays["base_com"][0], dtype=np.float64).reshape(1, 3), np.eye(3))
        quat = np.asarray(arrays[f"site_quat_{place.site}"], dtype=np.float64).reshape(-1, 4)[0]
        return Mounting(np.zeros((1, 3)), np.stack([turned(quat, axis) for axis in np.eye(3)], axis=1))

    return mounting


def other_weights(network: Network, evidence: Evidence) -> Network:
    """Another network of the same widths: the first layer's columns turned at random."""
    size = evidence.arrays["observation"].shape[2]
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]
    return lambda observation, starts: network(observation @ turned, starts)


def with_arrays(evidence: Evidence, arrays: Arrays, file: Path) -> Evidence:
    """The evidence with a trace's changed arrays; read anew from a file where rows or clock are others."""
    if arrays["observation"].shape[0] != evidence.shape[0] or "time" not in arrays or arrays["time"].flat[0]:
        with Recorder(file, evidence.header) as recorder:
            for step in range(len(arrays["observation"])):
                recorder.record(**{name: array[step] for name, array in arrays.items()})
        return read_evidence(file)
    kept = {name: array for name, array in arrays.items() if name in evidence.arrays or is_place(name)}
    rows = (*evidence.shape, -1)
    return replace(evidence, arrays={name: array.astype(np.float64).reshape(rows) for name, array in kept.items()})
