"""A trace of poses, contacts and scans: right ports are equal, and each usual mistake is named with its edit."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from policy_port.contract import Contract
from policy_port.trace import Recorder
from policy_port.verdict.diagnose import diagnose_contract
from policy_port.verdict.evidence import Evidence, read_evidence
from policy_port.verdict.verify import verify_contract
from tests.samples import LEGS, contract_data

TERMS: dict[str, dict[str, Any]] = {
    "base_euler": {"term": "base_euler", "scale": 0.25},
    "base_quat": {"term": "base_quat"},
    "link_height": {"term": "link_height", "above": ["foot"]},
    "link_pos": {"term": "link_pos", "link": "foot", "frame": "yaw"},
    "heading": {"term": "heading", "parts": ["cos", "sin"]},
    "heading_error": {"term": "heading_error", "scale": 0.5},
    "projected_gravity": {"term": "projected_gravity", "link": "torso"},
    "joint_effort": {"term": "joint_effort", "scale": 0.01},
    "contact": {"term": "contact", "links": ["foot", "torso"], "threshold": 5.0, "measure": "vertical"},
    "height_scan": {"term": "height_scan", "size": [0.4, 0.2], "resolution": 0.2, "clip": [-1.0, 1.0], "scale": 5.0},
}
STEPS = 60


def contract_of(**changes: dict[str, Any]) -> Contract:
    terms = [
        {key: value for key, value in (term | changes.get(name, {})).items() if value is not None}
        for name, term in TERMS.items()
    ]
    data = contract_data(observation={"terms": terms}, command={"heading": [-3.2, 3.2]}, timestep=0.02, decimation=1)
    return Contract.model_validate(data)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """What a robot showed that turns twice about while it nods, over steps in the ground, computed with SciPy."""
    path = tmp_path_factory.mktemp("sensed") / "trace.npz"
    record(path)
    return read_evidence(path)


def record(path: Path) -> None:
    rng = np.random.default_rng(0)
    names = ["lin_vel_x", "lin_vel_y", "ang_vel_z", "heading"]
    header = {"joint_names": list(LEGS), "control_dt": 0.02, "command_names": names}
    with Recorder(path, header, durable=False) as recorder:
        for step in range(STEPS):
            t = 0.02 * step
            base = Rotation.from_euler("xyz", [0.3 * math.sin(5 * t), 0.4 * math.cos(4 * t), 10 * t - 2.0])
            torso = base * Rotation.from_euler("xyz", [0.2, 0.3 * math.sin(6 * t), 0.4])
            place = np.array([0.3 * t, -0.2 * t, 0.6 + 0.05 * math.sin(9 * t)])
            foot = place + base.apply([0.1 + 0.05 * math.sin(7 * t), 0.1, -0.5])
            effort = 30.0 * np.sin(t * np.arange(1, 5) + np.arange(4))
            forces = np.array(
                [[3.0, 1.0, 40.0 * max(0.0, math.sin(8 * t))], [0.0, 6.0, 12.0 * max(0.0, math.cos(3 * t))]]
            )
            roll, pitch, yaw = base.as_euler("xyz")
            told = 1.0 if step < 30 else -2.5
            turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
            grid = [(x, y) for y in (-0.1, 0.1) for x in (-0.2, 0.0, 0.2)]
            ends = np.array([[*(place[:2] + turn @ xy), 0.0] for xy in grid])
            ends[:, 2] = 0.1 * (np.mod(np.floor(ends[:, 0] / 0.15) + np.floor(ends[:, 1] / 0.15), 3))
            apart = foot - place
            seen = [
                *(0.25 * angle for angle in (roll, pitch, yaw)),
                *np.roll(base.as_quat(), 1),
                place[2] - foot[2],
                *(turn.T @ apart[:2]),
                apart[2],
                math.cos(yaw),
                math.sin(yaw),
                0.5 * math.remainder(told - yaw, math.tau),
                *torso.inv().apply([0, 0, -1]),
                *(0.01 * effort),
                float(forces[0, 2] > 5.0),
                float(forces[1, 2] > 5.0),
                *(5.0 * np.clip(place[2] - ends[:, 2] - 0.5, -1.0, 1.0)),
            ]
            action = rng.normal(size=(1, 4)).astype(np.float32)
            arrays = {
                "joint_pos": np.zeros(4),
                "joint_vel": np.zeros(4),
                "base_pos": place,
                "base_quat": np.roll(base.as_quat(), 1),
                "link_pos_foot": foot,
                "link_quat_foot": np.roll(base.as_quat(), 1),
                "link_pos_torso": place,
                "link_quat_torso": np.roll(torso.as_quat(), 1),
                "joint_effort": effort,
                "contact_force_foot": forces[0],
                "contact_force_torso": forces[1],
                "height_scan": ends.reshape(-1),
                "command": np.array([0.0, 0.0, 0.0, told]),
                "target": 0.25 * action[0] + 0.1 * np.arange(1, 5),
            }
            recorder.record(
                time=np.array([t]),
                episode=np.array([0]),
                observation=np.array([seen], np.float32),
                action=action,
                **{name: value[None] for name, value in arrays.items()},
            )


def test_a_right_port_is_equal(evidence: Evidence) -> None:
    """Every term is recomputed from the recorded poses, forces and ends of rays, and equals what was shown."""
    verdict = verify_contract(contract_of(), evidence)
    assert {check.label: check.status for check in verdict.checks if check.label in TERMS} == dict.fromkeys(
        TERMS, "equal"
    )


MISTAKES: dict[str, tuple[dict[str, dict[str, Any]], str, str]] = {
    "euler order": (
        {"base_euler": {"angles": ["yaw", "pitch", "roll"]}},
        "it is roll, pitch, yaw, not yaw, pitch, roll",
        r"base_euler\].angles: \[yaw, pitch, roll\] -> \(not stated\)",
    ),
    "euler sign": ({"base_euler": {"scale": [0.25, -0.25, 0.25]}}, "sign of pitch flipped", "scale: .* -> 0.25"),
    "euler interval": ({"base_euler": {"interval": "positive"}}, "angles run from -pi to pi", "interval: positive ->"),
    "euler of the torso": ({"base_euler": {"link": "torso"}}, "it is of the base, not of 'torso'", "link: torso ->"),
    "gravity of the base": ({"projected_gravity": {"link": None}}, "it is of 'torso', not of the base", "-> torso"),
    "height above ground": ({"link_height": {"above": None}}, "above foot, not above the ground", r"-> \[foot\]"),
    "foot in the base's axes": ({"link_pos": {"frame": "base"}}, "in the yaw frame, not in base", "base -> yaw"),
    "sine before cosine": ({"heading": {"parts": ["sin", "cos"]}}, "it is cos, sin, not sin, cos", "-> .cos, sin"),
    "effort unscaled": ({"joint_effort": {"scale": None}}, "the scale 0.01 is missing", "scale: .* -> 0.01"),
    "threshold": ({"contact": {"threshold": 15.0}}, "threshold 5 N, not 15", "threshold: 15.0 -> 5.0"),
    "magnitude": ({"contact": {"measure": "magnitude"}}, "it is the vertical force", "-> vertical"),
    "links exchanged": (
        {"contact": {"links": ["torso", "foot"]}},
        "links in the order foot, torso",
        r"-> \[foot, torso\]",
    ),
    "scan ordering": ({"height_scan": {"ordering": "yx"}}, "rays in the order xy", "ordering: yx ->"),
    "scan frame": ({"height_scan": {"frame": "world"}}, "the grid turns with yaw, not with world", "frame: world ->"),
    "scan tilting": ({"height_scan": {"frame": "link"}}, "the grid turns with yaw, not with link", "frame: link ->"),
    "scan size": ({"height_scan": {"size": [0.2, 0.4]}}, "length and width exchanged", r"-> \[0.4, 0.2\]"),
    "scan middle": ({"height_scan": {"centre": [0.1, 0.0]}}, r"middle is at \[0.0, 0.0\]", "centre: "),
    "scan offset": ({"height_scan": {"height_offset": 0.0}}, "height_offset 0.5, not 0", "height_offset: 0.0 ->"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_usual_mistake_is_named(evidence: Evidence, mistake: str) -> None:
    """The first explanation says what is wrong, its edit mends it, and nothing differs any more."""
    changes, words, edit = MISTAKES[mistake]
    wrong = contract_of(**changes)
    assert not verify_contract(wrong, evidence).ok
    text = diagnose_contract(wrong, evidence).text()
    assert re.search(words, text.splitlines()[1]), text
    assert re.search(f"edit .*{edit}", text), text
    assert "nothing differs any more" in text


def test_another_quaternion_order_is_named(evidence: Evidence) -> None:
    """What the network is shown as wxyz is not xyzw."""
    wrong = contract_of().model_copy(update={"quaternion_order": "xyzw"})
    text = diagnose_contract(wrong, evidence).text()
    assert "quaternion order: base_quat is wxyz, not xyzw" in text.splitlines()[1]
    assert "edit    quaternion_order: xyzw -> wxyz" in text


def test_an_error_that_is_not_wrapped_is_named(evidence: Evidence) -> None:
    """A source that shows the bare difference is told from another heading, with what to do."""
    seen = evidence.arrays["observation"].copy()
    yaw = np.arctan2(seen[..., 12], seen[..., 11])
    seen[..., 13] = 0.5 * (evidence.arrays["command"][..., 3] - yaw)
    text = diagnose_contract(
        contract_of(), evidence.with_arrays({"observation": seen.astype(np.float32).astype(float)})
    ).text()
    assert "heading_error: not wrapped into -pi to pi" in text.splitlines()[1]
    assert "remedy  wrap the difference" in text


@pytest.mark.parametrize(("name", "term"), [("link_quat_torso", "projected_gravity"), ("height_scan", "height_scan")])
def test_a_trace_without_the_array_says_what_to_record(evidence: Evidence, name: str, term: str) -> None:
    """Nothing is taken as equal where the trace does not hold what a term is made of."""
    from dataclasses import replace

    from policy_port.errors import EvidenceError

    without = replace(evidence, arrays={key: value for key, value in evidence.arrays.items() if key != name})
    with pytest.raises(EvidenceError, match=rf"the trace has no '{name}', which '{term}'.*Record it as well"):
        verify_contract(contract_of(), without)
