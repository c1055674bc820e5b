"""A trace of a policy that follows a clip: right ports are equal, and each usual mistake is named with its remedy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from policy_port.contract import Contract
from policy_port.control.observation import ObservationBuilder
from policy_port.control.signals import Signals
from policy_port.errors import EvidenceError
from policy_port.motion.motion import Motion, velocities
from policy_port.trace import Recorder
from policy_port.verdict.diagnose import diagnose_contract
from policy_port.verdict.evidence import Evidence, read_evidence
from policy_port.verdict.verify import verify_contract
from tests.motion.test_following import following, robot, some_clip

__all__ = ["robot"]
PLANT = ("swing", "roll", "yaw")
CHANGED_CLIPS: dict[str, tuple[Any, str]] = {
    "rate": (lambda clip: clip_at(clip, 30.0), "its file has 50 frames per second, not 30"),
    "quaternions": (lambda clip: replace(clip, root_quat=clip.root_quat[:, [1, 2, 3, 0]]), "quaternions are xyzw"),
    "joints": (
        lambda clip: replace(clip.joints(PLANT, ""), joint_names=("roll", "yaw", "swing")),
        "stand in the trace's joint order",
    ),
}


def clip_at(clip: Motion, rate: float) -> Motion:
    return replace(clip, rate=rate, joint_vel=velocities(clip.joint_pos, rate))


@pytest.fixture
def contract(robot: Path) -> Contract:
    return following(robot, align="yaw")


@pytest.fixture
def evidence(contract: Contract, tmp_path: Path) -> Evidence:
    """Two episodes of a robot that sways while the clip plays, as the control loop shows it to the network."""
    return read(contract, recorded(contract, some_clip(60), tmp_path / "trace.npz"))


def read(contract: Contract, path: Path) -> Evidence:
    return replace(read_evidence(path), motion=some_clip(60))


def recorded(contract: Contract, clip: Motion, path: Path, lengths: tuple[int, ...] = (50, 40), skip: int = 0) -> Path:
    signals = Signals(contract, PLANT, 1)
    signals.motion = clip
    builder = ObservationBuilder(contract, signals)
    rng, steps = np.random.default_rng(0), 0
    header = {"joint_names": list(PLANT), "action_names": list(contract.action_joint_names), "quaternion_order": "wxyz"}
    with Recorder(path, header, durable=False) as recorder:
        for episode, length in enumerate(lengths):
            for step in range(length):
                t = 0.02 * steps + episode
                turned = Rotation.from_euler("xyz", [0.2 * np.sin(2 * t), 0.3 * np.cos(t), 0.5 + 0.8 * t])
                signals.time[:] = 0.02 * step
                signals.state.base_pos[:] = [0.1 * t, np.sin(t), 0.9 + 0.05 * np.sin(3 * t)]
                signals.state.base_quat[:] = np.roll(turned.as_quat(), 1)
                signals.state.joint_pos[:] = [0.5 * np.sin(3 * t + k) for k in range(3)]
                signals.state.joint_vel[:] = [1.5 * np.cos(3 * t + k) for k in range(3)]
                action = rng.normal(size=(1, contract.action_size)).astype(np.float32)
                scale = np.array([contract.action.terms[0].entry("scale", n) for n in contract.action_joint_names])
                target = np.zeros((1, 3))
                for place, name in enumerate(contract.action_joint_names):
                    target[0, PLANT.index(name)] = scale[place] * action[0, place] + contract.joints[name].default
                seen, steps = builder.build(), steps + 1
                if step < skip:
                    continue
                recorder.record(
                    time=np.array([0.02 * step]),
                    episode=np.array([episode]),
                    joint_pos=signals.state.joint_pos,
                    joint_vel=signals.state.joint_vel,
                    base_pos=signals.state.base_pos,
                    base_quat=signals.state.base_quat,
                    observation=seen,
                    action=action,
                    target=target,
                )
    return path


def found(contract: Contract, evidence: Evidence) -> str:
    return diagnose_contract(contract, evidence).text()


def test_a_right_port_is_equal(contract: Contract, evidence: Evidence) -> None:
    """Every term of the motion is recomputed from raw state and clip in a second way, and equals what was shown."""
    verdict = verify_contract(contract, evidence)
    terms = {check.label: check.status for check in verdict.checks if check.label.startswith("motion")}
    assert terms == dict.fromkeys((term.label for term in contract.observation.terms), "equal")


def test_a_trace_without_a_clip_is_no_evidence(contract: Contract, evidence: Evidence) -> None:
    """Nothing is taken as equal where nobody says which clip was played, and the message says how to."""
    with pytest.raises(EvidenceError, match="nobody says which was played: export the port with --motion FILE"):
        verify_contract(contract, replace(evidence, motion=None))


def test_a_start_that_was_not_recorded_leaves_the_alignment_open(contract: Contract, tmp_path: Path) -> None:
    """An episode whose reset is missing does not tell where the clip was turned to: that is not compared as equal."""
    path = recorded(contract, some_clip(60), tmp_path / "trace.npz", (50,), skip=9)
    verdict = verify_contract(contract, read(contract, path))
    statuses = {check.label: check.status for check in verdict.checks}
    assert statuses["motion_anchor_ori_b"] == "unchecked"
    assert statuses["motion_joint_pos"] == "equal"
    assert not verdict.ok


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"align": "none"}, "motion.align yaw"),
        ({"align": "yaw_and_position"}, "motion.align yaw"),
        ({"end": "repeat"}, None),
    ],
)
def test_another_way_to_follow_is_named(
    contract: Contract, evidence: Evidence, change: dict[str, Any], words: Any
) -> None:
    """The alignment of the source is told from the trace; an end that was never reached is no mistake."""
    assert contract.motion is not None
    wrong = contract.model_copy(update={"motion": contract.motion.model_copy(update=change)})
    text = found(wrong, evidence)
    if words is None:
        assert "nothing differs" in text
    else:
        assert words in text.splitlines()[1]
        assert "nothing differs any more" in text


def test_a_frame_too_late_is_named(contract: Contract, evidence: Evidence) -> None:
    """Off by one frame is not a late joint, nor a wrong scale."""
    terms = tuple(term.model_copy(update={"ahead": 1}) for term in contract.observation.terms)
    wrong = contract.model_copy(update={"observation": contract.observation.model_copy(update={"terms": terms})})
    text = found(wrong, evidence)
    assert "the frame is 1 earlier than the contract says" in text
    assert "edit    observation.terms[motion_joint_pos].ahead: 1 -> (not stated)" in text


@pytest.mark.parametrize("mistake", CHANGED_CLIPS)
def test_a_clip_that_was_read_wrong_is_named(contract: Contract, evidence: Evidence, mistake: str) -> None:
    """Rate, quaternion order and joint order of the file: the right one is named, with where to state it."""
    change, words = CHANGED_CLIPS[mistake]
    text = found(contract, replace(evidence, motion=change(evidence.motion)))
    assert words in text.splitlines()[1]
    assert "under motion.files of the contract" in text


def test_columns_for_rows_are_named(contract: Contract, evidence: Evidence) -> None:
    """The first two columns one after the other have the same six numbers in another order."""
    seen = evidence.arrays["observation"].copy()
    seen[:, :, 6:12] = seen[:, :, [6, 8, 10, 7, 9, 11]]
    text = found(contract, evidence.with_arrays({"observation": seen}))
    assert "the first column then the second, instead of both row by row" in text


def test_the_base_for_the_torso_is_named(robot: Path, tmp_path: Path) -> None:
    """A contract that compares the torso, of a source that compared the base, is told so."""
    source = following(robot, align="yaw", anchor="pelvis", chain=[])
    evidence = read(source, recorded(source, some_clip(60), tmp_path / "base.npz"))
    text = found(following(robot, align="yaw"), evidence)
    assert "the base link instead of torso as the anchor" in text
