"""What policies are worth: the same episodes for all, by what is and not by what sensors say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from policy_port.arrays import Float32
from policy_port.checkpoints import Actor
from policy_port.control.plant import SimulatedPlant
from policy_port.errors import RobotError, TaskError
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.replay.intervals import bootstrap
from policy_port.train.evaluate import ActorPolicy, Blind, evaluate
from policy_port.train.figures import Scores, compared
from policy_port.train.trial import Trial
from tests.train import rover

TEACHER = rover.contract("teacher")
TRIAL = Trial(task=rover.TASK, seconds=2.0, episodes=6, seed=5)
ENVS = 4


class Linear(Actor):
    """One linear layer: torques of the wheels by the error of the velocity, times a gain."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.obs_size, self.action_size, self.state_names, self.state_shapes = 9, 2, (), ()
        self.weight = torch.zeros(2, 9)
        for row, side in enumerate((-1.0, 1.0)):
            self.weight[row, 6], self.weight[row, 0] = gain, -gain
            self.weight[row, 8], self.weight[row, 5] = 0.25 * side * gain, -0.25 * side * gain

    def forward(self, obs: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (obs @ self.weight.T,)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedPlant]:
    robot = rover.write(tmp_path_factory.mktemp("rover"))["robot"]
    made = make_plant("mujoco", robot, PlantSetup.from_contract(TEACHER), num_envs=ENVS)
    yield made
    made.close()


def played(plant: SimulatedPlant, gain: float, trial: Trial = TRIAL) -> Scores:
    return evaluate(TEACHER, lambda rows: ActorPolicy(Linear(gain), rows), plant, trial)


def with_task(**changes: Any) -> Trial:
    data = {**rover.TASK.model_dump(mode="json"), **changes}
    return replace(TRIAL, task=type(rover.TASK).model_validate(data))


def test_a_policy_is_held_against_what_it_was_told(plant: SimulatedPlant) -> None:
    """One that does nothing tracks as well as standing still by the formula, one that follows the command better; the
    same episodes come out the same, whoever played before, and others otherwise.
    """
    still = played(plant, 0.0)
    for number, tracking in enumerate(still.tracking):
        told = TRIAL.commands(5 + number, TEACHER.control_dt)
        planar, turn = (told[:, :2] ** 2).sum(axis=1), told[:, 2] ** 2
        wanted = (np.exp(-planar / 0.25) + 0.5 * np.exp(-turn / 0.25)) / 1.5
        assert tracking == pytest.approx(wanted.mean(), abs=0.01)
    follows = played(plant, 2.0)
    assert follows.tracking.mean() > 1.2 * still.tracking.mean()
    assert follows.action_rate.mean() > still.action_rate.mean() == 0.0
    assert follows.power.mean() > 0.1
    assert np.array_equal(played(plant, 2.0).tracking, follows.tracking)
    assert not np.array_equal(played(plant, 2.0, replace(TRIAL, seed=50)).tracking, follows.tracking)
    assert not np.array_equal(TRIAL.commands(5, 0.04), TRIAL.commands(6, 0.04))


def test_noise_errs_for_the_policy_alone(plant: SimulatedPlant) -> None:
    """Sensor noise makes a policy that reads it worse, and changes nothing for one that does not act on it."""
    noisy = with_task(noise={"base_lin_vel": 3.0, "base_ang_vel": 3.0, "orientation": 0.5})
    assert np.array_equal(played(plant, 0.0, noisy).tracking, played(plant, 0.0).tracking)
    assert played(plant, 2.0, noisy).error.mean() > 1.1 * played(plant, 2.0).error.mean()


def test_a_policy_without_a_sensor_is_told_from_one_with_it(plant: SimulatedPlant) -> None:
    """The teacher that is shown zero for its velocity falls behind, and may not stand in for itself."""
    whole = played(plant, 2.0)
    columns = np.arange(3)
    blind = evaluate(TEACHER, lambda rows: Blind(ActorPolicy(Linear(2.0), rows), columns), plant, TRIAL)
    assert not compared(blind, whole).holds
    same = compared(whole, whole)
    assert same.holds
    assert (same.tracking.low, same.tracking.value, same.falls.high) == (1.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="other seeds"):
        compared(whole, played(plant, 2.0, replace(TRIAL, seed=9)))


def test_a_fall_ends_what_counts(plant: SimulatedPlant) -> None:
    """From a fall on nothing is tracked, and the episode counts as a fall; a share of falls is exact to the bound."""
    fallen = played(plant, 2.0, with_task(terminations={"min_height": 0.5}))
    assert fallen.fell.all()
    assert fallen.tracking.sum() == fallen.survival.sum() == 0.0
    whole = played(plant, 2.0)
    assert not whole.fell.any()
    assert whole.survival.tolist() == pytest.approx([2.0] * 6)
    assert not compared(fallen, whole).holds
    assert fallen.document()["falls"]["low"] == pytest.approx(0.541, abs=1e-3)


def test_disturbances_are_the_environments_own(plant: SimulatedPlant) -> None:
    """Pushes, friction, load and late targets change what comes out, alike for whoever plays; the trial after it is
    played in the plant as it was.
    """
    before = played(plant, 2.0)
    for changes in (
        {"push": {"every": [0.4, 0.6], "force": [30.0, 40.0], "duration": 0.2}},
        {"randomisation": {"ground_friction": [0.05, 0.1]}},
        {"randomisation": {"base_mass": [6.0, 8.0]}},
        {"randomisation": {"delay": [0.08, 0.12]}},
    ):
        trial = with_task(**changes)
        found = played(plant, 2.0, trial)
        assert not np.allclose(found.tracking, before.tracking, atol=1e-4), changes
        assert np.array_equal(played(plant, 2.0, trial).tracking, found.tracking), changes
    assert np.array_equal(played(plant, 2.0).tracking, before.tracking)


def test_who_can_not_be_asked_is_told(plant: SimulatedPlant) -> None:
    """A policy that reads no velocity command can't be measured by one, and a link that is not there is not pushed."""
    data = TEACHER.model_dump(mode="json", exclude_none=True)
    data["observation"]["terms"] = [{"term": "base_ang_vel"}]
    deaf = type(TEACHER).model_validate(data)
    with pytest.raises(TaskError, match="reads no velocity command.*add the term velocity_command"):
        TRIAL.check(deaf)
    trial = with_task(base="tail", push={"every": [0.2, 0.3], "force": [1.0, 2.0]})
    with pytest.raises(RobotError, match="tail"):
        played(plant, 2.0, trial)


def test_an_interval_holds_what_it_is_of() -> None:
    """95 of 100 bootstrapped intervals hold the mean that numbers were drawn around, give or take what chance does."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        values = rng.normal(size=40)
        found = bootstrap(lambda rows, values=values: values[rows].mean(axis=-1), 40)
        held += found.low <= 0.0 <= found.high
    assert 88 <= held <= 99


def test_a_memory_is_cleared_where_an_episode_begins() -> None:
    """A recurrent actor at the controls forgets the rows that are named and no others."""

    class Counter(Linear):
        def __init__(self) -> None:
            super().__init__(0.0)
            self.state_names, self.state_shapes = ("h",), ((1, 1),)

        def forward(self, obs: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return rest[0][0].expand(-1, 2), rest[0] + 1.0

    policy = ActorPolicy(Counter(), 3)
    seen: list[Float32] = [policy.act()[:, 0].copy() for _ in range(3)]
    assert seen[2].tolist() == [2.0, 2.0, 2.0]
    policy.reset(np.array([False, True, False]))
    assert policy.act()[:, 0].tolist() == [3.0, 0.0, 3.0]
    policy.reset()
    assert policy.act()[:, 0].tolist() == [0.0, 0.0, 0.0]
