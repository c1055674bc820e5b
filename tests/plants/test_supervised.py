"""A simulated arm under its supervisor's rules: limited, stopped, and told of it, each environment by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from policy_port.arrays import Array
from policy_port.control.plant import PlantState
from policy_port.errors import RobotError
from policy_port.plants.supervised import ArmLimits, SupervisedPlant, load_limits

JOINT = {"lower": -1.0, "upper": 1.0, "speed": 1.0, "acceleration": 40.0, "tracking_error": 0.3}
LIMITS = ArmLimits.model_validate(
    {"arm": "toy", "joints": {"a": JOINT, "b": {**JOINT, "tracking_error": 0.8}}, "tracking": 0.5, "first_target": 0.3}
)
PERIOD = 0.05


class Lagging:
    """Two arms whose joints stay behind what they are told by as much as is said, shape (2, joints)."""

    name, num_envs, timestep, left_out = "lagging", 2, 0.01, ("a mesh",)

    def __init__(self, *joint_names: str) -> None:
        self.joint_names = joint_names
        self.lag = np.zeros((2, len(joint_names)))
        self.told = np.zeros_like(self.lag)

    def reset(self, joint_pos: Array, rows: Any = None) -> None:
        self.told[...] = joint_pos
        self.lag[slice(None) if rows is None else rows] = 0.0

    def read(self, state: PlantState) -> None:
        state.joint_pos[...] = self.told - self.lag

    def write(self, target: Array) -> None:
        self.told[...] = target

    def step(self, count: int) -> None:
        """Time passes."""


def made(*names: str) -> tuple[Lagging, SupervisedPlant, PlantState]:
    plant = Lagging(*names)
    supervised = SupervisedPlant(cast(Any, plant), LIMITS, PERIOD)
    supervised.reset(np.zeros((2, len(names))))
    state = PlantState.allocate(2, len(names))
    supervised.read(state)
    return plant, supervised, state


def steps(plant: SupervisedPlant, state: PlantState, count: int, target: float = 0.0) -> None:
    for _ in range(count):
        plant.write(np.full((2, len(plant.joint_names)), target))
        plant.step(5)
        plant.read(state)


def test_a_joint_that_stays_behind_stops_its_own_arm_and_no_other() -> None:
    """Farther than its own bound for longer than the robot file's time; a shorter lag, and a reset, begin anew."""
    plant, supervised, state = made("b", "a")
    plant.lag[1] = [0.5, 0.31]
    steps(supervised, state, 11)
    # Half a second is not more than half a second, however 0.05 is rounded.
    assert not supervised.stops
    plant.lag[1, 1] = 0.2
    steps(supervised, state, 1)
    plant.lag[1, 1] = 0.31
    steps(supervised, state, 11)
    assert not supervised.stops
    steps(supervised, state, 1)
    assert list(supervised.stops) == [1]
    assert supervised.stops[1].startswith("a stays 0.31 rad behind its target")
    supervised.reset(np.zeros((2, 2)), np.array([False, True]))
    supervised.read(state)
    assert not supervised.stops
    steps(supervised, state, 12)
    assert not supervised.stops


def test_targets_are_limited_as_on_the_arm_and_told_to_who_asked() -> None:
    """No faster than `speed`, no farther than `upper`, and the array of the targets holds what was sent."""
    plant, supervised, state = made("a", "b")
    asked = np.array([[0.3, 0.0], [0.01, 0.0]])
    supervised.write(asked)
    assert asked[0, 0] == pytest.approx(PERIOD * JOINT["speed"])
    assert asked[1, 0] == pytest.approx(0.01)
    assert np.array_equal(plant.told, asked)
    steps(supervised, state, 40, target=2.0)
    assert state.joint_pos.max() == pytest.approx(JOINT["upper"])


def test_a_first_target_that_is_too_far_stops() -> None:
    """As the supervisor refuses it; a later one of that size is limited alone, until the arm is reset."""
    _, supervised, state = made("a", "b")
    supervised.write(np.array([[0.31, 0.0], [0.29, 0.0]]))
    assert list(supervised.stops) == [0]
    assert "the policy's first target of a is 0.310 rad, the arm is at 0.000; the bound is 0.3" in supervised.stops[0]
    supervised.reset(np.zeros((2, 2)))
    supervised.read(state)
    supervised.write(np.zeros((2, 2)))
    supervised.write(np.full((2, 2), 0.9))
    assert not supervised.stops


def test_another_arms_limits_are_refused_and_a_run_reads_its_own_back(tmp_path: Path) -> None:
    """A joint that the robot file does not have is named; what a run's folder keeps are the same numbers."""
    with pytest.raises(RobotError, match="toy: has no joint 'c', .* its joints are a, b"):
        made("a", "c")
    (tmp_path / "limits.yaml").write_text(LIMITS.to_yaml())
    assert load_limits(tmp_path / "limits.yaml") == LIMITS
    _, supervised, _ = made("a", "b")
    assert supervised.header["arm_limits"]["joints"]["b"]["tracking_error"] == 0.8
    assert supervised.left_out == ("a mesh",)


def test_the_limits_are_read_where_there_is_no_lerobot() -> None:
    """A machine that trains has no arm, and needs no driver of one."""
    program = """
import sys
sys.modules["lerobot"] = None
from policy_port import load_contract
from policy_port.cli.plant_options import arm_limits
from policy_port.resources import assets_dir
print(arm_limits("so100", load_contract(assets_dir() / "so100_reach" / "contract.yaml")).arm)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "so100\n", done.stderr
