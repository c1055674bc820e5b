"""Whether a learned actuator can be one as it is stated: mistakes in its layout that would run are named here.

A network of numbers does not say which of its inputs is what. A drive pushes towards its target, about as hard as the
contract's stiffness, the same to either side, and a joint under it settles. What is stated wrongly fails one of these,
and most often another reading of the same network passes all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from policy_port.arrays import Array
from policy_port.dynamics.actuator import Actuator, ActuatorInput
from policy_port.errors import DynamicsError
from policy_port.plants.actuator_network import Network, bounded

HELD = 0.4
"""How long an error is held to see what the network answers [s]."""
ERROR = 0.05
"""A small error [rad]."""
STEP = 0.1
"""Step whose response is looked at [rad]."""
SECONDS = 3.0
"""Its length [s]."""
FINE = 0.001
"""Longest step of its integration [s]."""
SETTLED = 0.5
"""Share of the step by which a joint may be off, root mean square, at the end."""
STIFFER = 6.0
"""A network this much stiffer or softer than the contract's drive has another scale."""
BETTER = 0.5
"""Another order of the history that leaves less than this share of the error was meant."""
LARGE = 1.0
"""An error at which any drive uses some of its effort [rad]."""
WEAK = 0.02
"""That share of its effort limit."""


@dataclass(frozen=True, kw_only=True)
class DrivenJoints:
    """The joints of a network, shape (joints,) each."""

    names: tuple[str, ...]
    """Their names."""
    inertia: Array
    """What each moves at the default pose [kg m^2]."""
    limit: Array
    """Effort limit [N m], infinite where there is none."""
    stiffness: Array
    """Of the contract's drive [N m/rad], 0 where it has none."""
    damping: Array
    """Of the contract's drive [N m s/rad]."""
    joint_damping: Array
    """Of the joint itself [N m s/rad]."""


def check_network(network: Network, joints: DrivenJoints) -> None:
    """Refuse a network that is no actuator as it is stated.

    Raises:
        DynamicsError: Naming the joint, what the network does, and which statement would make it an actuator.
    """
    found = _fault(network, joints)
    if found is None:
        return
    others = [said for said, other in _readings(network) if _fault(other, joints) is None]
    advice = f" It behaves as one {' or '.join(others)}" if others else ""
    raise DynamicsError(
        f"{network.where}: can't be what is stated: {found}.{advice or ' Look at inputs, scales and output_scale'}"
    )


def _fault(network: Network, joints: DrivenJoints) -> str | None:
    """What it does that no actuator does."""
    held = {error: _answer(network, error) for error in (0.0, ERROR, -ERROR, LARGE, -LARGE)}
    if not np.isfinite(list(held.values())).all():
        return "its output is NaN or infinite"
    found = None
    if network.actuator.output == "torque":
        found = _static_fault(held, joints)
    elif network.actuator.output == "residual_torque" and (abs(held[0.0]) > 0.5 * joints.limit).any():
        found = f"at rest on its target it adds {held[0.0]:.3g} N m, more than half of the effort limit"
    if found is not None:
        return found
    path = _step_response(network, joints)
    late = path[-len(path) // 6 :]
    off = np.sqrt(np.mean((late - STEP) ** 2, axis=0)) / STEP
    worst = int(np.argmax(np.nan_to_num(off, nan=np.inf)))
    if not off[worst] <= SETTLED:
        how = "diverges" if not off[worst] < 3.0 else "does not settle"
        return (
            f"joint '{joints.names[worst]}' ({joints.inertia[worst]:.3g} kg m^2) under it {how}: {SECONDS:g} s after a "
            f"step of {STEP:g} rad it is {off[worst] * STEP:.3g} rad off"
        )
    turned = _reversed(network.actuator)
    if turned is not None:
        other = _step_response(network.read_as(turned), joints)
        mine, theirs = (np.abs(each - STEP).sum(axis=0) for each in (path, other))
        if (theirs < BETTER * mine).all():
            return "a joint under it settles far better with its history the other way round"
    return None


def _static_fault(held: dict[float, float], joints: DrivenJoints) -> str | None:
    slope = (held[ERROR] - held[-ERROR]) / (2.0 * ERROR)
    said = f"{ERROR:g} rad short of its target it gives {held[ERROR]:.3g} N m"
    if slope <= 0.0:
        return f"{said}, {ERROR:g} rad beyond {held[-ERROR]:.3g} N m, so it pushes away from the target"
    if abs(held[ERROR] + held[-ERROR]) > abs(held[ERROR] - held[-ERROR]):
        return f"{said} and as far beyond {held[-ERROR]:.3g} N m: it does not push to both sides"
    known = joints.stiffness > 0.0
    ratio = slope / joints.stiffness[known]
    if known.any() and not (1.0 / STIFFER < np.median(ratio) < STIFFER):
        return (
            f"its stiffness is {slope:.3g} N m/rad, the contract's {np.median(joints.stiffness[known]):g}: a scale is "
            "missing, or one too many"
        )
    weak = held[LARGE] < WEAK * np.where(np.isfinite(joints.limit), joints.limit, 0.0)
    if weak.any():
        name, limit = joints.names[int(weak.argmax())], joints.limit[int(weak.argmax())]
        return (
            f"{LARGE:g} rad short of its target it gives {held[LARGE]:.3g} N m, and joint '{name}' has {limit:g} N m: "
            "a scale is missing"
        )
    return None


def _answer(network: Network, error: float) -> float:
    """What it gives once a joint has been so far from its target for a while [N m or rad/s^2]."""
    actuator = network.actuator
    given = np.array(
        [
            [
                item.scale * (error if item.name == "position_error" else 0.0)
                for item in actuator.inputs
                for _ in item.lags
            ]
        ]
    )
    state, output = network.start(1), np.zeros(1)
    for _ in range(max(1, round(HELD / actuator.spacing)) if actuator.state else 1):
        output, state = network(given, state)
    return float(output[0])


def _step_response(network: Network, joints: DrivenJoints) -> Array:
    """Positions of free joints after a step of their targets [rad], shape (spacings, joints)."""
    actuator, count = network.actuator, len(joints.names)
    deepest = max(lag for item in actuator.inputs for lag in item.lags)
    past: dict[str, Array] = {name: np.zeros((deepest + 1, count)) for name in ("position_error", "velocity")}
    position, velocity, state = np.zeros(count), np.zeros(count), network.start(count)
    fine = max(1, round(actuator.spacing / FINE))
    dt, found = actuator.spacing / fine, []
    beside = actuator.output != "torque"
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(round(SECONDS / actuator.spacing)):
            for name, now in (("position_error", STEP - position), ("velocity", velocity)):
                past[name] = np.concatenate([now[None], past[name][:-1]])
            given = [item.scale * past[item.name][lag] for item in actuator.inputs for lag in item.lags]
            output, state = network(np.stack(given, axis=1), state)
            output = output * (joints.inertia if actuator.output == "residual_acceleration" else 1.0)
            output = bounded(actuator, output, velocity, joints.limit)
            for _ in range(fine):
                drive = joints.stiffness * (STEP - position) if beside else 0.0
                # Dampers by implicit steps, as simulators do.
                damper = joints.joint_damping + (joints.damping if beside else 0.0)
                velocity = (joints.inertia * velocity + (output + drive) * dt) / (joints.inertia + damper * dt)
                position = np.clip(position + velocity * dt, -1e6, 1e6)
            found.append(position)
    return np.array(found)


def _readings(network: Network) -> Iterator[tuple[str, Network]]:
    """Other layouts of the same network, each with the words that ask for it; the simplest first."""
    actuator = network.actuator
    flipped = _flipped(actuator)
    changes: list[tuple[str, Actuator | None]] = [
        ("with the sign of position_error's scale turned (-1.0: position less target)", flipped),
        ("with position_error and velocity exchanged under inputs", _exchanged(actuator)),
        ("with each input's lags the other way round (the newest last)", _reversed(actuator)),
        ("with both exchanged and the sign of position_error's scale turned", _exchanged(flipped)),
        ("with the lags the other way round and the sign of position_error's scale turned", _reversed(flipped)),
    ]
    for said, other in changes:
        if other is not None:
            yield said, network.read_as(other)


def _changed(actuator: Actuator, inputs: tuple[ActuatorInput, ...]) -> Actuator:
    return actuator.model_copy(update={"inputs": inputs})


def _flipped(actuator: Actuator) -> Actuator:
    return _changed(
        actuator,
        tuple(
            item.model_copy(update={"scale": -item.scale}) if item.name == "position_error" else item
            for item in actuator.inputs
        ),
    )


def _exchanged(actuator: Actuator) -> Actuator | None:
    """The same inputs with the two kinds in each other's places; None where they are not as many."""
    kinds: dict[str, list[ActuatorInput]] = {"position_error": [], "velocity": []}
    for item in actuator.inputs:
        kinds[item.name].append(item)
    errors, velocities = kinds.values()
    if [len(item.lags) for item in errors] != [len(item.lags) for item in velocities]:
        return None
    other = {"position_error": iter(velocities), "velocity": iter(errors)}
    return _changed(actuator, tuple(next(other[item.name]) for item in actuator.inputs))


def _reversed(actuator: Actuator) -> Actuator | None:
    """The same inputs with the lags of each kind from the last to the first; None where there is no history."""
    lags = {item.name: [lag for one in actuator.inputs if one.name == item.name for lag in one.lags]
            for item in actuator.inputs}  # fmt: skip
    if all(len(own) == 1 for own in lags.values()):
        return None
    inputs = [item.model_copy(update={"lags": tuple(lags[item.name].pop() for _ in item.lags)})
              for item in actuator.inputs]  # fmt: skip
    return _changed(actuator, tuple(inputs))
