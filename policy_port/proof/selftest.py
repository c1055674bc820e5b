"""Faults put into a real export's outputs on purpose: a gate that lets one pass proves nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from policy_port.arrays import Array, Pixels
from policy_port.contract.image import ImageInput
from policy_port.contract.joint_terms import PerJointTerm
from policy_port.contract.spec import Contract
from policy_port.proof.gate import Outputs, Yardstick, judge, worst_ratio
from policy_port.proof.image_sampling import flip_rows, reverse_channels
from policy_port.proof.inputs import Inputs
from policy_port.proof.reference import layout
from policy_port.proof.report import Probe, Trial

Rerun = Callable[[str, Inputs], Array]
"""Runs the export again: group and inputs to actions."""

Change = Callable[[ImageInput, Pixels], Pixels]
"""A fault of one image."""

RERUN_GROUPS = ("realistic", "normal")
"""Groups in which a fault that needs the export to run again is looked for."""


def self_test(
    contract: Contract,
    yardsticks: Sequence[Yardstick],
    outputs: Outputs,
    inputs: Mapping[str, Inputs],
    rerun: Rerun,
    unscaled: Rerun,
    *,
    recurrent: bool,
) -> tuple[Probe, ...]:
    """Break the export in each way that a port breaks in practice, and hold each against the gate.

    A fault may change nothing, such as swapping two joints that the policy never moves, so others of its kind are
    tried until one is caught.

    Args:
        contract: The target's contract.
        yardsticks: What is right.
        outputs: What the export gave.
        inputs: What it was shown.
        rerun: Runs the export again.
        unscaled: Runs the exact network on pixels that its own scale has not made small.
        recurrent: Whether the policy has a memory.
    """
    faults = _Faults(contract, yardsticks, outputs, inputs, rerun)
    one_joint = "" if len(contract.action_joint_names) > 1 else "the policy moves a single joint"
    unseen = "" if len(_observed_joints(contract)) > 1 else "the policy observes fewer than two joints"
    return (
        _probe("two actions swapped", faults.swapped_actions(), one_joint),
        _probe("one sign flipped", faults.flipped_signs(), ""),
        _probe("two joints' observations swapped", faults.swapped_observations(), unseen),
        _probe("stale recurrent state", faults.stale_state(), "" if recurrent else "the policy has no memory"),
        *(faults.image_probes(unscaled) if contract.images else ()),
    )


@dataclass(frozen=True)
class _Faults:
    """Broken outputs of one export, kind by kind; each trial is made when it is asked for."""

    contract: Contract
    yardsticks: Sequence[Yardstick]
    outputs: Outputs
    inputs: Mapping[str, Inputs]
    rerun: Rerun

    def swapped_actions(self) -> Iterator[Trial]:
        names = self.contract.action_joint_names
        for a, b in _pairs(names):
            order = _exchange(list(range(len(names))), names.index(a), names.index(b))
            broken = {group: [values[..., order] for values in given] for group, given in self.outputs.items()}
            yield self._caught(f"actions of {a} and {b} swapped", broken)

    def flipped_signs(self) -> Iterator[Trial]:
        names = self.contract.action_joint_names
        for i, name in enumerate(names):
            sign = np.ones(len(names))
            sign[i] = -1.0
            broken = {group: [values * sign for values in given] for group, given in self.outputs.items()}
            yield self._caught(f"sign of {name} flipped", broken)

    def swapped_observations(self) -> Iterator[Trial]:
        for a, b in _pairs(_observed_joints(self.contract)):
            order = _swapped_columns(self.contract, a, b)
            broken = self._again(lambda shown, order=order: replace(shown, obs=shown.obs[..., order]), self.rerun)
            yield self._caught(f"observations of {a} and {b} swapped", broken)

    def stale_state(self) -> Iterator[Trial]:
        broken = self._again(lambda shown: replace(shown, resets=np.zeros_like(shown.resets)), self.rerun)
        yield self._caught("resets of the recurrent state ignored", broken)

    def image_probes(self, unscaled: Rerun) -> Iterator[Probe]:
        images = self.contract.images
        coloured = [image for image in images if image.channels > 1]
        scaled = [image for image in images if image.scale != 1.0]
        trials = self._changed_images("channels of image {} in reverse", reverse_channels, coloured, self.rerun)
        yield _probe("an image's channels exchanged", trials, "" if coloured else "no image has several channels")
        trials = self._changed_images("image {} upside down", flip_rows, images, self.rerun)
        yield _probe("an image's rows flipped", trials, "")
        trials = self._changed_images("image {} not scaled", lambda image, seen: seen / image.scale, scaled, unscaled)
        yield _probe("an image's scale missing", trials, "" if scaled else "the network takes pixels as they are")

    def _changed_images(self, fault: str, change: Change, wanted: Sequence[ImageInput], run: Rerun) -> Iterator[Trial]:
        for image in wanted:
            at = self.contract.images.index(image)
            broken = self._again(lambda shown, at=at, image=image: _with_image(shown, at, image, change), run)
            yield self._caught(fault.format(image.name), broken)

    def _again(self, change: Callable[[Inputs], Inputs], run: Rerun) -> Outputs:
        return {name: [run(name, change(self.inputs[name]))] for name in RERUN_GROUPS}

    def _caught(self, fault: str, broken: Outputs) -> Trial:
        return Trial(fault=fault, ratio=worst_ratio(judge(self.yardsticks, broken)))


def _with_image(shown: Inputs, at: int, image: ImageInput, change: Change) -> Inputs:
    changed = change(image, shown.images[at])
    return replace(shown, images=(*shown.images[:at], changed, *shown.images[at + 1 :]))


def _probe(kind: str, trials: Iterator[Trial], note: str) -> Probe:
    tried: list[Trial] = []
    if not note:
        for trial in trials:
            tried.append(trial)
            if trial.ratio > 1.0:
                break
    return Probe(kind=kind, trials=tuple(tried), note=note)


def _pairs(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Neighbours first, then every joint with the first one."""
    yield from itertools.pairwise(names)
    yield from ((names[0], name) for name in names[2:])


def _exchange(order: list[int], i: int, j: int) -> list[int]:
    order[i], order[j] = order[j], order[i]
    return order


def _observed_joints(contract: Contract) -> tuple[str, ...]:
    measured = {term.joint(element) for term in _joint_terms(contract).values() for element in term.elements(contract)}
    return tuple(name for name in contract.joint_names if name in measured)


def _joint_terms(contract: Contract) -> dict[str, PerJointTerm]:
    return {term.label: term for term in contract.observation.terms if isinstance(term, PerJointTerm)}


def _swapped_columns(contract: Contract, a: str, b: str) -> list[int]:
    """Column that each number of the observation is read from when all that joints a and b measure is exchanged."""
    keys, terms = layout(contract), _joint_terms(contract)
    other = {a: b, b: a}
    order = list(range(len(keys)))
    for column, (label, element, age) in enumerate(keys):
        joint = terms[label].joint(element) if label in terms else ""
        if joint in other and (twin := (label, terms[label].of_joint(element, other[joint]), age)) in keys:
            order[column] = keys.index(twin)
    return order
