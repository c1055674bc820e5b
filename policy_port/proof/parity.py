"""The proof that an export computes what the checkpoint computes.

What was written is loaded again from disk and driven beside three others: the network in float64 behind the by-name
reference, which is the truth; the same in float32, which says what rounding costs; and the policy file in its own
runtime, which says that the file was read rightly.

Rounding is compared with rounding. A remap into degrees has to compute 0.0174533 * x + offset in float32 before the
network amplifies the result, and float64 does not, so eager is taken at its worse of two: the reference's observation
rounded once, and the by-name conversion itself done in float32. Where a conversion only moves numbers about, both are
the same, and an export gets no credit for arithmetic that it has no need to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.checkpoints.policy import LoadedPolicy
from policy_port.errors import PortError, ProofError
from policy_port.port.format import ONNX, TORCHSCRIPT
from policy_port.proof.diagnosis import looks_like, name_some
from policy_port.proof.gate import (
    REALISTIC,
    Outputs,
    Yardstick,
    action_range,
    allowed_error,
    flat,
    judge,
    largest_error,
)
from policy_port.proof.inputs import Extent, Inputs, draw_inputs
from policy_port.proof.reference import ByNameReference
from policy_port.proof.report import FileParity, ParityReport, group_errors, joint_errors, worst_input
from policy_port.proof.runners import (
    ActorRunner,
    FileRunner,
    Runner,
    drive,
    load_exports,
    one_thread,
    run_all,
)
from policy_port.proof.selftest import self_test

if TYPE_CHECKING:
    from policy_port.remap import Remap

ORIGINAL_BATCH = 7
"""Rows in which the policy file is run by its own runtime, which may need a copy of itself for each."""


def prove(
    folder: Path, policy: LoadedPolicy, remap: Remap, *, recorded: NDArray[np.floating] | None = None, seed: int = 0
) -> ParityReport:
    """Prove that the exports in `folder` compute what `policy` computes on the target's side of `remap`.

    Args:
        folder: Holds policy.onnx, policy.pt or both.
        policy: The policy that was exported.
        remap: Gives the two contracts and the mapping; its maps are under test and are not used.
        recorded: Observations of the target from a rollout, shape (steps, n) or (steps, batch, n).
        seed: Seed of the sampled observations.

    Returns:
        What was measured.

    Raises:
        PortError: When the folder holds no export.
        ProofError: When an export is further off than rounding explains, or the gate lets a deliberate fault pass.
    """
    report = measure(folder, policy, remap, recorded=recorded, seed=seed)
    if not report.passed:
        raise ProofError(report.complaints[0])
    return report


def measure(
    folder: Path, policy: LoadedPolicy, remap: Remap, *, recorded: NDArray[np.floating] | None = None, seed: int = 0
) -> ParityReport:
    """Measure what `prove` judges, and report it whether or not it passed."""
    exports = load_exports(folder, policy.actor)
    if not exports:
        raise PortError(f"{folder}: holds neither {ONNX} nor {TORCHSCRIPT}, so there is nothing to prove")
    extent = Extent.of(policy.actor)
    inputs = draw_inputs(remap.target, extent, recorded, np.random.default_rng(seed))
    proof = _Proof(
        policy=policy,
        remap=remap,
        reference=ByNameReference(remap.source, remap.target, remap.mapping),
        inputs=inputs,
        batches=extent.batches,
    )
    with one_thread():
        yardsticks = proof.yardsticks()
        files = tuple(proof.check(name, runner, yardsticks) for name, runner in exports.items())
        original = proof.check_original()
    return ParityReport(
        source=remap.source.name,
        target=remap.target.name,
        policy_sha256=policy.sha256,
        seed=seed,
        samples={name: shown.obs.shape[0] * shown.obs.shape[1] for name, shown in inputs.items()},
        batches=extent.batches,
        steps=extent.steps,
        files=files,
        original=original,
    )


@dataclass(frozen=True, kw_only=True)
class _Proof:
    """What all files are held against."""

    policy: LoadedPolicy
    remap: Remap
    reference: ByNameReference
    inputs: dict[str, Inputs]
    batches: tuple[int, ...]

    @property
    def _recurrent(self) -> bool:
        return bool(self.policy.actor.state_names)

    @property
    def _chunk(self) -> int:
        return self.policy.actor.chunk or 1

    def _run(self, runner: Runner, inputs: Inputs) -> Array:
        return drive(runner, inputs, recurrent=self._recurrent)

    def yardsticks(self) -> list[Yardstick]:
        """The reference's actions in every group, and how far torch eager is from them."""
        exact = ActorRunner(self.policy.actor, torch.float64)
        eager = ActorRunner(self.policy.actor, torch.float32)
        expected: dict[str, Array] = {}
        errors: dict[str, Array] = {}
        for name, shown in self.inputs.items():
            seen = self._by_name(shown.obs.astype(np.float64))
            expected[name] = self._actions(run_all(exact, replace(shown, obs=seen), recurrent=self._recurrent))
            rounded = seen.astype(np.float32)
            # Where float32 holds the exact value, converting it needed no rounding.
            held = np.abs(rounded - seen) <= 1e-12 * np.abs(seen)
            converted = np.where(held, rounded, self._by_name(shown.obs))
            tries = [rounded] if held.all() else [rounded, converted]
            runs = [self._actions(self._run(eager, replace(shown, obs=given))) for given in tries]
            errors[name] = np.max([largest_error(run, expected[name]) for run in runs], axis=0)
        return _yardsticks(expected, errors, self._by_answer("resets"))

    def check(self, file: str, runner: Runner, yardsticks: list[Yardstick]) -> FileParity:
        """Drive one export through every group and batch size, and break it on purpose."""
        joints = self.remap.target.action_joint_names

        def run(group: str, shown: Inputs) -> Array:
            steps, batch = shown.obs.shape[:2]
            try:
                actions = self._run(runner, shown)
            except Exception as cause:
                # Both runtimes raise classes of their own that share no base but Exception.
                reason = (str(cause).strip().splitlines() or [type(cause).__name__])[-1]
                raise ProofError(f"{file} fails at batch {batch} ({group}): {reason}") from cause
            if actions.shape != (steps * self._chunk, batch, len(joints)):
                raise ProofError(
                    f"{file} answers batch {batch} with shape {actions.shape[1:]}, contract "
                    f"'{self.remap.target.name}' drives {len(joints)} joints: {', '.join(joints)}"
                )
            return actions

        def unscaled(group: str, shown: Inputs) -> Array:
            seen = self._by_name(shown.obs.astype(np.float64))
            exact = ActorRunner(self.policy.actor, torch.float64)
            return self._actions(run_all(exact, replace(shown, obs=seen), recurrent=self._recurrent))

        outputs = {
            name: [
                run(name, shown.rows(batch))
                for batch in dict.fromkeys(min(batch, shown.obs.shape[1]) for batch in self.batches)
            ]
            for name, shown in self.inputs.items()
        }
        accusation = f"{file} does not compute what the checkpoint computes"
        result = _result(file, accusation, yardsticks, outputs, self._by_answer("obs"), joints)
        if result.complaint:
            return result
        probes = self_test(
            self.remap.target, yardsticks, outputs, self.inputs, run, unscaled, recurrent=self._recurrent
        )
        missed = [probe.kind for probe in probes if not probe.caught]
        complaint = f"the proof of {file} has no teeth: it does not notice {', '.join(missed)}" if missed else ""
        return replace(result, probes=probes, complaint=complaint)

    def check_original(self) -> FileParity | None:
        """Hold the policy file in its own runtime against the network that was read from it."""
        if self.policy.original is None:
            return None
        original = FileRunner(self.policy.original())
        exact = ActorRunner(self.policy.actor, torch.float64)
        eager = ActorRunner(self.policy.actor, torch.float32)
        seen: dict[str, NDArray[np.floating]] = {}
        resets: dict[str, NDArray[np.bool_]] = {}
        expected, errors, outputs = {}, {}, {}
        for name in (*REALISTIC, "normal"):
            if name not in self.inputs:
                continue
            shown = self.inputs[name].rows(ORIGINAL_BATCH)
            seen[name] = self._by_name(shown.obs.astype(np.float64)).astype(np.float32)
            resets[name] = np.zeros(shown.obs.shape[:2], dtype=bool)
            resets[name][len(shown.obs) // 2] = True
            shown = replace(shown, obs=seen[name], resets=resets[name])
            expected[name] = self._run(exact, shown)
            errors[name] = largest_error(self._run(eager, shown), expected[name])
            outputs[name] = [self._run(original, shown)]
        joints = self.remap.source.action_joint_names
        name = self.policy.path.name
        accusation = f"reading {name} went wrong: the network that was read is not what its own runtime computes"
        return _result(name, accusation, _yardsticks(expected, errors, resets), outputs, seen, joints)

    def _by_answer(self, field: Literal["obs", "resets"]) -> dict[str, NDArray]:
        """Observations or resets once for each action, of which a chunk gives many."""
        return {name: np.repeat(getattr(shown, field), self._chunk, axis=0) for name, shown in self.inputs.items()}

    def _by_name(self, obs: NDArray) -> NDArray:
        """Source observations, shape (steps, batch, n)."""
        return self.reference.observation(flat(obs)).reshape(*obs.shape[:2], -1)

    def _actions(self, raw: Array) -> Array:
        """Target actions, shape (steps, batch, joints)."""
        return self.reference.action(flat(raw)).reshape(*raw.shape[:2], -1)


def _yardsticks(
    expected: dict[str, Array], errors: dict[str, Array], resets: Mapping[str, NDArray[np.bool_]]
) -> list[Yardstick]:
    for name, actions in expected.items():
        if not np.isfinite(actions).all():
            raise ProofError(f"the checkpoint itself computes numbers that are not finite from {name} observations")
    joint_range = action_range(expected)
    return [
        Yardstick(
            group=name,
            expected=actions,
            eager_error=errors[name],
            allowed=allowed_error(actions, errors[name], joint_range),
            resets=resets[name],
        )
        for name, actions in expected.items()
    ]


def _result(
    file: str,
    accusation: str,
    yardsticks: Sequence[Yardstick],
    outputs: Outputs,
    observations: Mapping[str, NDArray],
    joints: Sequence[str],
) -> FileParity:
    verdicts = judge(yardsticks, outputs)
    ranges = action_range({yard.group: yard.expected for yard in yardsticks})
    worst = worst_input(yardsticks, outputs, verdicts, observations, joints)
    groups = group_errors(yardsticks, verdicts, joints)
    complaint = ""
    if not all(verdict.passed for verdict in verdicts):
        limit = next(g.allowed for g in groups if (g.group, g.joint) == (worst.group, worst.joint))
        failed = [i for i in range(len(joints)) if any(verdict.ratio[i] > 1.0 for verdict in verdicts)]
        clause = looks_like(yardsticks, outputs, verdicts, joints)
        complaint = (
            f"{accusation}: {name_some(failed, joints)} {'is' if len(failed) == 1 else 'are'} off, {worst.joint} by "
            f"{abs(worst.given - worst.expected):.2g} where {limit:.2g} is allowed ({worst.group} observations, batch "
            f"{worst.batch}, step {worst.step}, row {worst.row})" + (f"; {clause}" if clause else "")
        )
    return FileParity(
        file=file,
        joints=joint_errors(yardsticks, outputs, verdicts, joints, ranges),
        groups=groups,
        worst=worst,
        probes=(),
        complaint=complaint,
    )
