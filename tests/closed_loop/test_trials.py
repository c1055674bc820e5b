"""Claims about trials: what counts as falling, following and missing, on a plant without a simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.closed_loop.diagnose import Robot, diagnose_reach, diagnose_walk
from policy_port.closed_loop.stage import Candidate, Stage
from policy_port.closed_loop.walks import Walks, commands_around, fall_rule
from policy_port.contract import Contract
from policy_port.errors import TaskError
from policy_port.plants.setup import PlantSetup
from policy_port.port.pilot import Pilot
from policy_port.replay.velocity import FallRule
from policy_port.tasks.reach import SO100_REACH
from tests.control.fake_plant import FakePlant
from tests.control.networks import save_linear
from tests.samples import LEGS, contract_data
from tests.verdict.mistakes import edited, set_joint

COMMANDS = ((0.5, 0.0, 0.0), (0.5, 0.0, 0.4))
RULE = FallRule(min_height=0.2, max_tilt=1.0, text="")


def contract_of(**changes: Any) -> Contract:
    return Contract.model_validate(contract_data(**changes))


def stage_of(folder: Path, plant: FakePlant, contract: Contract, value: float = 0.0) -> Stage:
    matrix = np.full((contract.observation_size, contract.action_size), value)
    pilot = Pilot(onnx=save_linear(folder / "policy.onnx", matrix), network_contract=contract)
    return Stage(pilot, lambda setup, count: plant)


def walks(**changes: Any) -> Walks:
    return Walks(**{"commands": COMMANDS, "seconds": 3.0, "seed": 0, "rule": RULE} | changes)


def test_who_follows_the_command_loses_nothing(tmp_path: Path) -> None:
    """Straight on at the commanded speed: no error; without the turn that was asked: its share."""
    plant = FakePlant(LEGS, 2)
    plant.speed[:] = 0.5
    found = stage_of(tmp_path, plant, contract_of()).play(Candidate(contract=contract_of(), words=""), walks())
    assert found.loss[0] == pytest.approx(0.0, abs=1e-9)
    assert found.error[1] == pytest.approx(0.2 / np.hypot(0.5, 0.2))
    assert not found.failed.any()
    assert (found.seconds == 3.0).all()


def test_a_fall_costs_more_than_any_error_and_an_early_one_most(tmp_path: Path) -> None:
    """Standing still loses 1, falling more, up to 2 for falling at once."""

    class Falling(FakePlant):
        def step(self, count: int) -> None:
            super().step(count)
            if self.log.count("step") == 75:
                self.truth.base_pos[1, 2] = 0.1

    found = stage_of(tmp_path, Falling(LEGS, 2), contract_of()).play(
        Candidate(contract=contract_of(), words=""), walks()
    )
    assert found.loss == pytest.approx([1.0, 2.0 - 75 / 150])
    assert found.failed.tolist() == [False, True]
    assert found.seconds == pytest.approx([3.0, 1.5])
    assert np.isnan(found.error[1])


def test_a_network_that_explodes_counts_as_fallen(tmp_path: Path) -> None:
    """Numbers beyond float32 end the walk, and not the search."""
    contract = contract_of(action={"terms": [{"term": "joint_position", "scale": 1e30, "offset": 0.0}]})
    found = stage_of(tmp_path, FakePlant(LEGS, 2), contract, 1e30).play(Candidate(contract=contract, words=""), walks())
    assert found.failed.all()
    assert found.mean > 1.9


def test_every_candidate_starts_alike(tmp_path: Path) -> None:
    """The disturbance of the start pose is the seed's, around the candidate's own default pose."""

    class Watched(FakePlant):
        def reset(self, joint_pos: np.ndarray, rows: np.ndarray | None = None) -> None:
            super().reset(joint_pos, rows)
            starts.append(self.truth.joint_pos.copy())

    starts: list[np.ndarray] = []
    contract = contract_of()
    other = edited(contract, set_joint("left_hip", "default", 0.6))
    stage = stage_of(tmp_path, Watched(LEGS, 2), contract)
    for each in (contract, contract, other):
        stage.play(Candidate(contract=each, words=""), walks(seconds=0.1))
    assert np.array_equal(starts[0], starts[1])
    assert starts[2] - starts[0] == pytest.approx(np.tile([0.5, 0.0, 0.0, 0.0], (2, 1)))
    assert 0.0 < np.abs(starts[0] - [0.1, 0.2, 0.3, 0.4]).max() <= 0.05
    stage.play(Candidate(contract=contract, words=""), walks(seconds=0.1, seed=1))
    assert not np.array_equal(starts[3], starts[0])


def test_a_late_loop_holds_each_target_for_a_step(tmp_path: Path) -> None:
    """The start pose first, then what the loop would have applied a step earlier."""

    class Watched(FakePlant):
        def write(self, target: np.ndarray) -> None:
            super().write(target)
            written.append(target.copy())

    written: list[np.ndarray] = []
    contract = contract_of()
    stage = stage_of(tmp_path, Watched(LEGS, 2, rate=0.0), contract, 0.3)
    stage.play(Candidate(contract=contract, words=""), walks(seconds=0.1))
    prompt = written.copy()
    written.clear()
    stage.play(Candidate(contract=contract, words="", late=True), walks(seconds=0.1))
    assert np.abs(prompt[1] - prompt[0]).max() > 0.01
    assert np.array_equal(written[1], prompt[0])
    assert not np.array_equal(written[0], prompt[0])


def test_plants_are_kept_by_what_they_are_set_up_for(tmp_path: Path) -> None:
    """Another reading of the network needs no other robot, another gain does; what is pushed out is closed."""
    made: list[tuple[PlantSetup, FakePlant]] = []

    def make(setup: PlantSetup, count: int) -> FakePlant:
        made.append((setup, FakePlant(LEGS, count)))
        return made[-1][1]

    contract = contract_of()
    matrix = np.zeros((contract.observation_size, contract.action_size))
    stage = Stage(Pilot(onnx=save_linear(tmp_path / "p.onnx", matrix), network_contract=contract), make)
    reordered = contract_of(joints=dict(reversed(contract_data()["joints"].items())))
    for each in (contract, reordered, edited(contract, set_joint("left_hip", "default", 0.0))):
        stage.plant(each, 2)
    assert len(made) == 1
    for stiffness in range(1, 10):
        stage.plant(edited(contract, set_joint("left_hip", "stiffness", float(stiffness))), 2)
    assert len(made) == 10
    assert made[0][1].closed
    stage.close()
    assert all(plant.closed for _, plant in made)


def test_commands_stay_inside_what_was_trained() -> None:
    """Variations are clipped to the stated range; the user's own command is not."""
    narrow = contract_of(command={"lin_vel_x": [0.0, 0.4], "lin_vel_y": [0.0, 0.0], "ang_vel_z": [-0.1, 0.1]})
    found = commands_around(narrow, (0.5, 0.0, 0.0))
    assert found[0] == (0.5, 0.0, 0.0)
    assert {abs(command[1]) for command in found} == {0.0}
    assert max(abs(command[2]) for command in found) == pytest.approx(0.1)


def test_the_fall_rule_is_the_contracts() -> None:
    """The stated height, or half of that at the start."""
    stated = contract_of(base={"floating": True, "min_height": 0.31})
    assert fall_rule(stated, FakePlant(LEGS)).min_height == 0.31
    assert fall_rule(contract_of(), FakePlant(LEGS)).min_height == pytest.approx(0.25)


def test_what_can_not_be_asked_of_a_policy_is_said(tmp_path: Path) -> None:
    """No command to follow, no goal to reach, another rate: bad input, before a simulator starts."""
    blind = contract_of(observation={"terms": [{"term": "joint_pos"}]})
    matrix = np.zeros((4, 4))
    pilot = Pilot(onnx=save_linear(tmp_path / "p.onnx", matrix), network_contract=blind)
    robot = Robot(kind="mujoco", file=tmp_path / "none.xml")
    with pytest.raises(TaskError, match="no velocity_command or command term, nor three constant numbers"):
        diagnose_walk(pilot, robot, (0.5, 0.0, 0.0))
    with pytest.raises(TaskError, match="reads no goal"):
        diagnose_reach(pilot, robot, SO100_REACH)
    goal = {"terms": [{"term": "goal", "size": 3, "frame": "base, m"}]}
    other = Pilot(onnx=pilot.onnx, network_contract=contract_of(observation=goal))
    with pytest.raises(TaskError, match="control period of 0.02 s, the reach task runs at 20 Hz"):
        diagnose_reach(other, robot, SO100_REACH)
