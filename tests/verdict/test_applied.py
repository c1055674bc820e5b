"""Claims about gains that a trace states: compared where the recording means the actuators', and told where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policy_port.contract import Contract, load_contract
from policy_port.verdict.diagnose import diagnose_contract
from policy_port.verdict.evidence import read_evidence
from policy_port.verdict.verify import Verification, verify_contract
from tests.samples import LEGS
from tests.verdict.mistakes import edited, evidence_of
from tests.verdict.synthetic import TRACE_JOINTS, toy

RECIPE = Path(__file__).resolve().parents[2].parent / "shared/failing_inputs/peers/traces_md_recipe"
ZEROS = [0.0] * len(LEGS)


def actuated(kind: str) -> Contract:
    return edited(toy(), lambda data: data["actuation"].update(kind=kind))


def verdict_of(folder: Path, contract: Contract, **header: Any) -> Verification:
    return verify_contract(contract, evidence_of(folder, contract, **header))


def check(verdict: Verification, label: str) -> tuple[str, str]:
    (found,) = [each for each in verdict.checks if each.label == label]
    return found.status, found.note


@pytest.mark.parametrize("kind", ["explicit", "model"])
@pytest.mark.parametrize("header", [{}, {"actuation": None}])
def test_a_drive_that_is_off_is_not_the_actuators(tmp_path: Path, kind: str, header: dict[str, Any]) -> None:
    """Zeros of a simulator's own drive are not held against an explicit actuator's gains, and that is said."""
    verdict = verdict_of(tmp_path, actuated(kind), stiffness=ZEROS, damping=ZEROS, **header)
    assert verdict.ok
    assert check(verdict, "stiffness")[0] == check(verdict, "damping")[0] == "unchecked"
    assert "states 0 for all 4 joints: the simulator's own drive, which an explicit actuator model" in verdict.text()
    assert "25 instead of 0" not in verdict.text()


def test_the_actuators_own_gains_are_compared(tmp_path: Path) -> None:
    """Gains of an explicit actuator that differ are wrong, joint by joint."""
    contract = actuated("explicit")
    gains = {name: joint.stiffness for name, joint in contract.joints.items()}
    assert check(verdict_of(tmp_path, contract, stiffness=gains), "stiffness") == ("equal", "")
    verdict = verdict_of(tmp_path, contract, stiffness={**gains, LEGS[0]: 99.0})
    assert f"{LEGS[0]} {gains[LEGS[0]]:g} instead of 99" in verdict.text()


def test_joints_whose_drive_is_off_are_left_out_alone(tmp_path: Path) -> None:
    """Where some joints have an actuator model and others the simulator's drive, these are compared."""
    contract = actuated("explicit")
    gains = {key: {n: getattr(j, key) for n, j in contract.joints.items()} for key in ("stiffness", "damping")}
    for key in gains:
        gains[key][LEGS[0]] = 0.0
    verdict = verdict_of(tmp_path, contract, **gains)
    status, note = check(verdict, "stiffness")
    assert (status, f"states 0 for {LEGS[0]}: the simulator's own drive" in note) == ("equal", True)
    gains["stiffness"][LEGS[1]] = 99.0
    assert check(verdict_of(tmp_path, contract, **gains), "stiffness")[0] == "wrong"


def test_a_simulator_that_drives_with_nothing_is_wrong(tmp_path: Path) -> None:
    """Zeros are what was applied where the header says that the simulator's own drives did it."""
    verdict = verdict_of(tmp_path, toy(), stiffness=ZEROS, damping=ZEROS, actuation="implicit")
    assert check(verdict, "stiffness")[0] == "wrong"


def test_an_implicit_contract_of_an_explicit_source_is_mended(tmp_path: Path) -> None:
    """Drives that are off, in a trace that does not name its actuation, show that the contract's kind is wrong."""
    evidence = evidence_of(tmp_path, toy(), stiffness=ZEROS, damping=ZEROS, actuation=None)
    verdict, first = verify_contract(toy(), evidence), diagnose_contract(toy(), evidence).hypotheses[0]
    assert "actuation implicit instead of explicit: the source simulator's own drives are off" in verdict.text()
    assert [(edit.key, edit.after) for edit in first.edits] == [("actuation.kind", "explicit")]
    assert not verify_contract(first.contract, evidence).wrong


@pytest.mark.parametrize("key", ["stiffness", "damping"])
def test_one_gain_alone_that_is_zero_is_wrong(tmp_path: Path, key: str) -> None:
    """A drive that still has its other gain is not off."""
    assert check(verdict_of(tmp_path, actuated("explicit"), **{key: ZEROS}), key)[0] == "wrong"


def test_a_limit_that_bounds_nothing_is_the_simulators(tmp_path: Path) -> None:
    """Isaac Lab tells its simulator a billion under an explicit actuator; a limit that was applied is compared."""
    contract = edited(actuated("explicit"), lambda data: [j.update(effort_limit=23.7) for j in data["joints"].values()])
    verdict = verdict_of(tmp_path, contract, effort_limit=[1e9] * 4)
    assert check(verdict, "effort_limit")[0] == "unchecked"
    assert "states no bound for all 4 joints" in verdict.text()
    assert check(verdict_of(tmp_path, contract, effort_limit=[30.0] * 4), "effort_limit")[0] == "wrong"


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ([25.0] * 3, "the header's stiffness has 3 numbers, joint_names has 4"),
        ([[25.0] * 4], "the header's stiffness has 1 numbers, joint_names has 4"),
        (25.0, "the header's stiffness is 25.0; give a number by joint name, or a list"),
        (dict.fromkeys(TRACE_JOINTS, "25"), "the header's stiffness holds what is no number"),
        ({"elbow": 25.0}, "the trace states it for joints that the contract does not have: elbow"),
    ],
)
def test_gains_that_cannot_be_read_are_not_passed_over(tmp_path: Path, stated: Any, words: str) -> None:
    """A list of another length, a single number, text or other joints: not compared, and the line says why."""
    verdict = verdict_of(tmp_path, toy(), stiffness=stated)
    assert check(verdict, "stiffness")[0] == "unchecked"
    assert words in verdict.text()


def test_the_recipe_of_isaac_lab_is_told_rightly() -> None:
    """What docs/traces.md's recipe recorded: the quaternion order is wrong, and nothing of the gains."""
    if not RECIPE.is_dir():
        pytest.skip(f"{RECIPE} is not there")
    evidence = read_evidence(RECIPE / "isaac_lab.npz")
    verdict = verify_contract(load_contract(RECIPE / "contract.yaml"), evidence)
    assert "projected_gravity" in {each.label for each in verdict.wrong}
    assert "quaternion order: base_quat is xyzw, not wxyz" in verdict.text()
    assert not {each.label for each in verdict.wrong} & {"stiffness", "damping"}
