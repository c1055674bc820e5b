"""The proof of a deploy graph: over states, not observations, against computations that share nothing with it.

The graph is run as a user's program runs it, by name, with resets on the way. What it saw, answered and told is then
held against a second way to each: the observation rebuilt from the states by what `verify` holds traces against, the
action of the checkpoint in float64 behind the by-name reference on that observation, the targets decoded from there.
Then the graph is run wrongly in each way in which programs on robots go wrong, and each has to be noticed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.checkpoints.policy import LoadedPolicy
from policy_port.contract.actions import TARGETS
from policy_port.contract.spec import Contract
from policy_port.deploy.draw import draw_signals
from policy_port.deploy.layout import is_quaternion
from policy_port.deploy.step import Step, by_name
from policy_port.errors import ProofError
from policy_port.motion.motion import Motion
from policy_port.port.deployed import DeployGraph
from policy_port.port.format import DEPLOY_ACTION, DEPLOY_OBSERVATION, DEPLOY_TARGET
from policy_port.proof.gate import allowed_error, flat, largest_error
from policy_port.proof.inputs import Inputs
from policy_port.proof.reference import ByNameReference
from policy_port.proof.runners import ActorRunner, one_thread, run_all
from policy_port.verdict.evidence import Evidence
from policy_port.verdict.rebuild import FLOOR, decode, rebuild

if TYPE_CHECKING:
    from policy_port.remap import Remap

STEPS, ROWS = 50, 4
"""Steps of the proof, a recurrent policy's too, and rows that are reset at moments of their own."""

Signals = dict[str, Array]
Wrong = Callable[[DeployGraph, Signals], Signals]
"""What a program does wrong before a step: on the graph's states, or with the signals that it gives."""


@dataclass(frozen=True, kw_only=True)
class DeployProof:
    """What was measured, each as a fraction of what rounding explains; above 1 fails."""

    observation: float
    action: float
    target: float
    faults: Mapping[str, float | None]
    """The largest of the three under each fault; None where the policy can't have it."""


def prove_deploy(
    path: Path, policy: LoadedPolicy, remap: Remap, *, motion: Motion | None = None, seed: int = 0
) -> DeployProof:
    """Prove that a deploy graph computes what the checkpoint computes, from signals to targets.

    Args:
        path: deploy.onnx.
        policy: The checkpoint.
        remap: Gives the two contracts and the mapping.
        motion: The clip that the policy follows, in the target's parsing.
        seed: Seed of the drawn signals.

    Raises:
        ProofError: When it is further off than rounding explains, or a fault is not noticed.
    """
    held = _Held(path=path, data=path.read_bytes(), policy=policy, remap=remap, motion=motion, seed=seed)
    with one_thread():
        right = held.compared(held.right)
        names = ("observation", "action", "joint target")
        for name, ratio in zip(names, right, strict=True):
            if not ratio <= 1.0:
                raise ProofError(
                    f"{path}: its {name} is {ratio:.3g} times further from the checkpoint's than rounding explains: "
                    "this is a bug of policy-port; please report it with the contract"
                )
        faults = {name: None if wrong is None else held.noticed(wrong) for name, wrong in held.faults().items()}
    for name, ratio in faults.items():
        if ratio is not None and not ratio > 1.0:
            raise ProofError(
                f"{path}: the proof does not notice '{name}' ({ratio:.3g} of what it allows), so it shows nothing"
            )
    return DeployProof(observation=right[0], action=right[1], target=right[2], faults=faults)


@dataclass(frozen=True, kw_only=True)
class _Held:
    path: Path
    data: bytes
    policy: LoadedPolicy
    remap: Remap
    motion: Motion | None
    seed: int

    @property
    def contract(self) -> Contract:
        return self.remap.target

    def drawn(self) -> tuple[Signals, NDArray[np.bool_]]:
        rng = np.random.default_rng(self.seed)
        signals = draw_signals(self.contract, self.step, STEPS, ROWS, rng)
        resets = rng.random((STEPS, ROWS)) < 0.06
        resets[0] = True
        return signals, resets

    @functools.cached_property
    def step(self) -> Step:
        """The step, for the names of its signals."""
        return by_name(self.contract, motion=self.motion)

    def run(self, wrong: Wrong | None) -> tuple[Array, Array, Array]:
        """Observations, actions and targets of a program that does something wrong, shape (steps, rows, numbers)."""
        signals, resets = self.drawn()
        graph = DeployGraph(self.path, self.data, ROWS)
        outputs: dict[str, list[Array]] = {DEPLOY_OBSERVATION: [], DEPLOY_ACTION: [], DEPLOY_TARGET: []}
        for number in range(STEPS):
            if wrong is not stale:
                graph.reset(resets[number])
            given = {name: signals[name][number] for name in self.step.signals}
            out = graph.step(given if wrong is None else wrong(graph, given))
            for name, values in outputs.items():
                values.append(np.asarray(out[name], np.float64))
        seen, action, target = (np.stack(values) for values in outputs.values())
        return seen, action, target

    @functools.cached_property
    def right(self) -> tuple[Array, Array, Array]:
        """What a program that does nothing wrong is told."""
        return self.run(None)

    def noticed(self, wrong: Wrong) -> float | None:
        """The largest error under a fault over what is allowed; None where it changes nothing."""
        outputs = self.run(wrong)
        if all(map(np.array_equal, outputs, self.right)):
            return None
        return max(self.compared(outputs, thorough=False))

    def compared(self, outputs: tuple[Array, Array, Array], *, thorough: bool = True) -> tuple[float, float, float]:
        """Errors of observation, action and target over what is allowed.

        Args:
            outputs: From `run`.
            thorough: Go on after the observation, where that is wrong.
        """
        (signals, resets), (seen, action, target) = self.drawn(), outputs
        evidence = self.evidence(signals, resets, seen, action, target)
        rebuilt, decoded = rebuild(self.contract, evidence), decode(self.contract, evidence)
        shown = _ratio(np.abs(seen - rebuilt.values), rebuilt.allowed, rebuilt.known)
        if shown > 1.0 and not thorough:
            return shown, 0.0, 0.0
        names, driven = self.contract.joint_names, self.contract.action_joint_names
        wanted, allowed = self.actions(rebuilt.values, resets)
        told = [
            _ratio(np.abs(target[..., [*map(names.index, driven)]] - decoded.values), decoded.allowed, decoded.known)
        ]
        for column, name in enumerate(names):
            if name not in driven:
                # What nothing drives stays where it was at the reset.
                start = np.take_along_axis(signals["joint_pos"][..., column], evidence.since, axis=0)
                told.append(float(np.abs(target[..., column] - start).max()) / FLOOR)
        # An error of zero passes even where zero is all that is allowed.
        return shown, _ratio(largest_error(action, wanted), allowed, np.ones(len(allowed), np.bool_)), max(told)

    def actions(self, observation: Array, resets: NDArray[np.bool_]) -> tuple[Array, Array]:
        """The checkpoint's actions on observations, shape (steps, rows, actions), and the error allowed per joint."""
        remap, recurrent = self.remap, bool(self.policy.actor.state_names)
        reference = ByNameReference(remap.source, remap.target, remap.mapping)
        steps, results = observation.shape[:2], []
        for kind, precision in ((np.float64, torch.float64), (np.float32, torch.float32)):
            shown = reference.observation(flat(observation).astype(kind)).reshape(*steps, -1)
            inputs = Inputs(obs=shown, images=(), resets=resets)
            raw = run_all(ActorRunner(self.policy.actor, precision), inputs, recurrent=recurrent)
            results.append(reference.action(flat(raw)).reshape(*steps, -1).astype(np.float64))
        exact, eager = results
        return exact, allowed_error(exact, largest_error(eager, exact), np.ptp(flat(exact), axis=0))

    def evidence(
        self, signals: Signals, resets: NDArray[np.bool_], seen: Array, action: Array, target: Array
    ) -> Evidence:
        """What a recorder would have written of the run."""
        contract, shape = self.contract, resets.shape
        since = np.maximum.accumulate(np.where(resets, np.arange(STEPS)[:, None], 0), axis=0)
        arrays = {"command" if name == "velocity_command" else name: values for name, values in signals.items()}
        arrays |= {"observation": seen, "action": action}
        arrays |= {TARGETS[drive]: target for drive in contract.drives.values()}
        yes, no = np.ones(shape, np.bool_), np.zeros(shape, np.bool_)
        return Evidence(
            path=self.path,
            header={},
            joint_names=contract.joint_names,
            command_names=contract.command.names,
            arrays=arrays,
            since=since,
            whole=yes,
            unsure=no,
            counted=yes,
            usable=yes,
            time=(np.arange(STEPS)[:, None] - since).astype(np.float64) * contract.control_dt,
            rounding=2.0**-24,
            motion=self.motion,
        )

    def faults(self) -> dict[str, Wrong | None]:
        """What programs do wrong, by name; None for what this policy can't have wrong."""
        step = self.step
        joints = "joint_pos" in step.signals or "joint_vel" in step.signals
        two = joints and len(self.contract.joint_names) > 1
        return {
            "joints in another order": swapped if two else None,
            "a joint's sign": flipped if joints else None,
            "states kept over a reset": stale if step.states and len({*step.states} - {"steps"}) else None,
            "a quaternion as x, y, z, w": rolled if any(map(is_quaternion, step.signals)) else None,
            "a clock that is a step late": Late() if self.contract.keeps_time else None,
        }


def swapped(graph: DeployGraph, signals: Signals) -> Signals:
    """All joints the other way round."""
    return {name: values[:, ::-1] if name.startswith("joint_") else values for name, values in signals.items()}


def flipped(graph: DeployGraph, signals: Signals) -> Signals:
    """Each joint counted the other way."""
    return {name: -values if name.startswith("joint_") else values for name, values in signals.items()}


def rolled(graph: DeployGraph, signals: Signals) -> Signals:
    """Quaternions in the order of other libraries."""
    return {name: np.roll(row, -1, axis=1) if is_quaternion(name) else row for name, row in signals.items()}


class Late:
    """The counter starts a step late."""

    def __init__(self) -> None:
        self._steps: Array = np.zeros((ROWS, 1))

    def __call__(self, graph: DeployGraph, signals: Signals) -> Signals:
        """Give the graph the number of the step before."""
        self._steps = np.where(graph.states["steps_in"] == 0.0, 0.0, self._steps + 1.0)
        graph.states["steps_in"] = np.maximum(self._steps - 1.0, 0.0)
        return signals


def stale(graph: DeployGraph, signals: Signals) -> Signals:
    """Nobody resets."""
    return signals


def _ratio(error: Array, allowed: Array, known: NDArray[np.bool_]) -> float:
    """The largest error over what is allowed, where the rebuilt number is known."""
    wrong = known & (error != 0.0)
    ratio = np.divide(np.nan_to_num(error, nan=np.inf), allowed, out=np.full_like(error, np.inf), where=allowed > 0.0)
    return float(np.where(wrong, ratio, 0.0).max())
