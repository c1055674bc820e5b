"""Open loop: the same stored states must give the same observations, actions and targets.

No simulator runs, so every difference is one of the policy, its contract or its mapping, and can be named. Two
interfaces are looked at: the port's own, which is what ships, and the simulator's, in which raw states pass through
the contract first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.contract import Contract
from policy_port.contract.layout import observation_slots
from policy_port.control.controller import Controller
from policy_port.control.plant import MEASURED
from policy_port.port.pilot import Pilot
from policy_port.port.runtime import OnnxPolicy, Policy
from policy_port.regress.places import AT, places_stored
from policy_port.regress.player import Played
from policy_port.regress.verdict import Found

PORT_OBSERVATION, OBSERVATION, START = "in_port_observation", "in_observation", "in_start"

ORDER = ("observation", "action", "target", "port action")
"""Outputs in the order in which they come about in a step; the port's own stand apart."""

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Output:
    """What came out at one place, shape (steps, columns)."""

    name: str
    columns: tuple[str, ...]
    values: NDArray[Any]


def stored_inputs(pilot: Pilot, episodes: list[Played], steps: int) -> Arrays:
    """The first `steps` moments of the episodes, as what open-loop runs start from."""
    recorded = episodes[0].arrays
    measured = (*MEASURED, "command", "goal", *pilot.contract.senses.columns(0))
    names = [name for name in recorded if name in measured or name.startswith(AT)]
    # An environment records no base and computes its observation itself: there the observation is the input.
    on_plant = "base_pos" in names
    chosen = names if on_plant else ["observation"]
    inputs: Arrays = {}
    for name in chosen:
        inputs[f"in_{name}"] = np.concatenate([played.arrays[name] for played in episodes])[:steps].astype(np.float32)
    starts = [np.arange(len(played.arrays["action"])) == 0 for played in episodes]
    inputs[START] = np.concatenate(starts)[:steps]
    seen = np.concatenate([played.arrays["observation"] for played in episodes])[:steps]
    if pilot.remap is not None:
        seen = pilot.remap.observation(seen)
        if pilot.remap.observation_clip is not None:
            seen = np.clip(seen, *pilot.remap.observation_clip)
    inputs[PORT_OBSERVATION] = seen.astype(np.float32)
    return inputs


def outputs(
    pilot: Pilot, contract: Contract, joint_names: tuple[str, ...], inputs: Mapping[str, NDArray[Any]]
) -> list[Output]:
    """Run the policy on stored inputs.

    Args:
        pilot: The policy.
        contract: The contract that it is flown by, which may hold some of the pilot's terms.
        joint_names: The simulator's joints.
        inputs: What `stored_inputs` keeps.

    Raises:
        PolicyPortError: When the policy does not fit the plant's joints.
    """
    start = inputs[START]
    port = pilot.network_contract
    found: list[Output] = []
    if inputs[PORT_OBSERVATION].shape[1] == port.observation_size:
        actions = _actions(OnnxPolicy(pilot.onnx, graph=pilot.content), inputs[PORT_OBSERVATION], start)
        found.append(Output(name="port action", columns=port.action_joint_names, values=actions))
    if OBSERVATION in inputs:
        if inputs[OBSERVATION].shape[1] == contract.observation_size:
            actions = _actions(pilot.open(1), inputs[OBSERVATION], start)
            found.append(Output(name="action", columns=contract.action_joint_names, values=actions))
    else:
        places = places_stored({name.removeprefix("in_"): array for name, array in inputs.items()})
        controller = Controller(contract, pilot.open(1), joint_names, 1, mountings=places, motion=pilot.motion)
        found += _through_the_contract(controller, joint_names, inputs)
    return found


def judge(new: list[Output], arrays: Mapping[str, NDArray[Any]], about: dict[str, Any], tolerance: float) -> Found:
    """Compare with the stored outputs.

    Args:
        new: What comes out now.
        arrays: The baseline's arrays.
        about: The baseline's `open_loop`: columns of each output.
        tolerance: See `OpenLoop.tolerance`.
    """
    now = {output.name: output for output in new}
    steps = len(arrays[START])
    largest = 0.0
    wrong: list[tuple[int, int, str]] = []
    for name, columns in about["columns"].items():
        if name not in now:
            text = f"the {name} of the stored trace can't be computed: the policy reads another width"
            wrong.append((-1, ORDER.index(name), text))
            continue
        output = now[name]
        if list(output.columns) != columns:
            wrong.append((-1, ORDER.index(name), _other_columns(name, columns, list(output.columns))))
            continue
        old = arrays[f"out_{name}"].astype(np.float64)
        share = np.abs(output.values - old) / np.maximum(1.0, np.abs(old).max(axis=0))
        largest = max(largest, float(share.max()))
        if share.max() > tolerance:
            step = int(np.argmax((share > tolerance).any(axis=1)))
            column = int(share[step].argmax())
            count = int((share[step] > tolerance).sum())
            others = f" ({count} of {len(columns)} elements differ)" if count > 1 else ""
            text = (
                f"{name} {columns[column]} is {output.values[step, column]:.4g}, stored {old[step, column]:.4g}, at "
                f"step {step}{others}"
            )
            wrong.append((step, ORDER.index(name), text))
    numbers = {"largest_difference": largest, "steps": steps}
    if wrong:
        # The first moment, before anything has fed back, and there the first place that is reached: that is where
        # the fault is.
        return Found("open_loop", "regression", f"for the same stored states, {min(wrong)[2]}", numbers)
    text = f"{steps} stored steps give the same actions within {largest:.1e} (allowed {tolerance:g})"
    return Found("open_loop", "pass", text, numbers)


def _actions(policy: Policy, observation: NDArray[Any], start: NDArray[Any]) -> NDArray[np.float32]:
    found = []
    for row, first in zip(observation, start, strict=True):
        if first:
            policy.reset()
        policy.observation[0] = row
        found.append(policy.act()[0].copy())
    return np.stack(found)


def _through_the_contract(
    controller: Controller, joint_names: tuple[str, ...], inputs: Mapping[str, NDArray[Any]]
) -> list[Output]:
    contract = controller.contract
    sensed = {} if controller.state.sensed is None else controller.state.sensed.arrays
    if inputs["in_goal"].shape[1] != controller.goal.shape[1] or any(f"in_{name}" not in inputs for name in sensed):
        return []
    found: dict[str, list[NDArray[Any]]] = {"observation": [], "action": [], "target": []}
    for step, first in enumerate(inputs[START]):
        for name in MEASURED:
            getattr(controller.state, name)[0] = inputs[f"in_{name}"][step]
        for name, array in sensed.items():
            array[0] = inputs[f"in_{name}"][step]
        controller.command[0] = inputs["in_command"][step]
        controller.goal[0] = inputs["in_goal"][step]
        if first:
            controller.reset()
        target = controller()
        found["target"].append(target[0].copy())
        found["observation"].append(controller.observation[0].copy())
        found["action"].append(controller.action[0].copy())
    columns = {
        "observation": tuple(str(slot) for slot in observation_slots(contract)),
        "action": contract.action_joint_names,
        "target": joint_names,
    }
    return [Output(name=name, columns=columns[name], values=np.stack(values)) for name, values in found.items()]


def _other_columns(name: str, old: list[str], new: list[str]) -> str:
    for place, (then, now) in enumerate(zip(old, new, strict=False)):
        if then != now:
            return f"{name} has another layout: element {place} is {now}, stored {then}"
    return f"{name} has another layout: {len(new)} elements, stored {len(old)}"
