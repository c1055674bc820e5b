"""Replays on a plant without a simulator: when an episode ends, what is recorded, and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract
from policy_port.contract.mapping import RobotMapping
from policy_port.errors import MappingError, TaskError
from policy_port.port.pilot import Pilot
from policy_port.replay import plot
from policy_port.replay.held import Held, replay_held
from policy_port.replay.plot import plot_replay
from policy_port.replay.reach import replay_reach
from policy_port.replay.velocity import FallRule, outside_trained_range
from policy_port.tasks.reach import SO100_REACH
from policy_port.trace import Trace
from tests.control.fake_plant import FakePlant
from tests.control.networks import save_linear
from tests.samples import LEGS, contract_data

COMMAND = (0.5, 0.0, 0.1)
WALK = Held(command=COMMAND, seconds=3.0)


def pilot_of(folder: Path, matrix: np.ndarray | None = None, **changes: Any) -> Pilot:
    contract = Contract.model_validate(contract_data(**changes))
    matrix = np.zeros((contract.observation_size, contract.action_size)) if matrix is None else matrix
    return Pilot(onnx=save_linear(folder / "policy.onnx", matrix), network_contract=contract)


class Toppling(FakePlant):
    """Environment 1 lies down after `steps` control steps, whenever it was reset before."""

    def __init__(self, steps: int, num_envs: int = 2, tilt: float = 0.0) -> None:
        super().__init__(LEGS, num_envs)
        self.left, self.tilt = steps, tilt
        self.speed[:] = 0.4

    def step(self, count: int) -> None:
        super().step(count)
        self.left -= 1
        if self.left == 0:
            self.truth.base_pos[-1, 2] = self.height if self.tilt else 0.1
            self.truth.base_quat[-1] = (np.cos(self.tilt / 2), np.sin(self.tilt / 2), 0.0, 0.0)


def test_a_command_is_followed_to_the_end(tmp_path: Path) -> None:
    """Survival, velocity after two seconds, and a trace whose rows are moments of decision."""
    plant = FakePlant(LEGS)
    plant.speed[:] = 0.45
    trace_path = tmp_path / "trace.npz"
    result = replay_held(pilot_of(tmp_path), plant, WALK, decimation=4, trace=trace_path)
    assert (result["survival"], result["fallen"]) == (3.0, 0)
    assert result["mean_lin_vel_x"] == pytest.approx(0.45)
    assert result["joint_tracking_rmse"] == pytest.approx(0.0, abs=1e-12)
    assert result["effort_saturation"] is None
    assert "did not fall" in result.table()
    trace = Trace(trace_path)
    assert trace["observation"].shape == (150, 1, 24)
    assert trace["time"][:, 0] == pytest.approx(0.02 * np.arange(150))
    assert np.array_equal(trace["command"][:, 0], np.tile(COMMAND, (150, 1)))
    assert trace.header["joint_names"] == list(LEGS)
    assert trace.header["control_dt"] == pytest.approx(0.02)
    assert len(trace.header["contract_sha256"]) == 64


@pytest.mark.parametrize("tilt", [0.0, 1.2])
def test_a_fall_is_the_first_of_any_environment(tmp_path: Path, tilt: float) -> None:
    """Too low, or tilted too far: survival is that of the first to fall, the others go on."""
    plant = Toppling(steps=60, tilt=tilt)
    result = replay_held(pilot_of(tmp_path), plant, WALK, decimation=4, trace=tmp_path / "trace.npz")
    assert result["survival"] == pytest.approx(60 * 0.02)
    assert result["fallen"] == 1
    assert result["mean_lin_vel_x"] == pytest.approx(0.4)
    assert len(Trace(tmp_path / "trace.npz")["time"]) == 150


def test_a_replay_ends_when_all_have_fallen(tmp_path: Path) -> None:
    """One environment that falls after a second ends the replay; velocity can't be given."""
    plant = Toppling(steps=50, num_envs=1)
    result = replay_held(pilot_of(tmp_path), plant, WALK, decimation=4, trace=tmp_path / "trace.npz")
    assert result["survival"] == pytest.approx(1.0)
    assert result["mean_lin_vel_x"] is None
    assert len(Trace(tmp_path / "trace.npz")["time"]) == 50


def test_a_diverged_simulation_has_fallen(tmp_path: Path) -> None:
    """NaN ends an episode, and is no error."""

    class Diverging(Toppling):
        def step(self, count: int) -> None:
            super().step(count)
            if self.left == 0:
                self.truth.base_pos[:] = np.nan
                self.truth.joint_pos[:] = np.nan

    plant = Diverging(steps=10, num_envs=1)
    result = replay_held(pilot_of(tmp_path), plant, WALK, decimation=4, trace=tmp_path / "trace.npz")
    assert result["survival"] == pytest.approx(0.2)


def test_the_fall_rule_says_where_it_comes_from() -> None:
    """The contract's numbers where it has them; else half the start height and 1 rad; never for a fixed base."""

    def rule(**base: Any) -> FallRule:
        return FallRule.of(Contract.model_validate(contract_data(base=base)), start_height=0.4)

    assert (rule(floating=True).min_height, rule(floating=True).max_tilt) == (0.2, 1.0)
    assert "50 % of the start" in rule(floating=True).text
    stated = rule(floating=True, min_height=0.3, max_tilt=0.5)
    assert (stated.min_height, stated.max_tilt) == (0.3, 0.5)
    assert stated.text.count("contract") == 2
    assert rule(floating=False).text.startswith("never")


def test_a_command_outside_training_is_told() -> None:
    """Each element that is outside its range, and no other."""
    contract = Contract.model_validate(contract_data(command={"lin_vel_x": [0, 1], "ang_vel_z": [-1, 1]}))
    assert outside_trained_range(contract, (1.0, 9.0, -1.0)) == []
    (text,) = outside_trained_range(contract, (1.5, 9.0, 0.0))
    assert "lin_vel_x = 1.5 is outside [0, 1]" in text


def test_a_policy_without_a_command_is_refused(tmp_path: Path) -> None:
    """It can't follow what it does not read."""
    pilot = pilot_of(tmp_path, observation={"terms": [{"term": "joint_pos"}]})
    with pytest.raises(TaskError, match="no velocity_command"):
        replay_held(pilot, FakePlant(LEGS), WALK, decimation=4, trace=tmp_path / "trace.npz")


# The fake arm's tip is its first joint's position along x, so a policy that sends shoulder_pan to the goal's x, and
# a goal on the x axis, is a solved task.
ARM = SO100_REACH.joint_names


def arm_data(**changes: Any) -> dict[str, Any]:
    data = contract_data(
        timestep=0.01,
        decimation=5,
        base={"floating": False},
        joints={name: {"default": 0.0} for name in ARM},
        observation={"terms": [{"term": "goal", "size": 3, "frame": "base, m"}]},
        action={"terms": [{"term": "joint_position", "scale": 1.0, "offset": 0.0}]},
    )
    return data | changes


def goal_follower() -> np.ndarray:
    matrix = np.zeros((3, 6))
    matrix[0, 0] = 1.0
    return matrix


def test_reach_episodes_are_the_tasks_own_on_any_number_of_environments(tmp_path: Path) -> None:
    """Episode e has seed + e; start pose, goal and distance at the end are those of the task; order is by seed."""
    results = []
    for num_envs in (1, 3):
        plant = FakePlant(ARM[::-1], num_envs, timestep=0.01)
        # The tip is the first joint of the plant's order, so the policy drives "gripper" here.
        matrix = np.zeros((3, 6))
        matrix[0, ARM.index("gripper")] = 1.0
        pilot = pilot_of(tmp_path, matrix, **arm_data())
        trace = tmp_path / f"trace{num_envs}.npz"
        results.append(replay_reach(pilot, plant, SO100_REACH, seed=7, episodes=5, decimation=5, trace=trace))
    assert [episode.seed for episode in results[0].episodes] == [7, 8, 9, 10, 11]
    assert results[0].episodes == results[1].episodes
    for episode in results[0].episodes:
        _, goal = SO100_REACH.episode(episode.seed)
        assert episode.final_distance == pytest.approx(float(np.hypot(goal[1], goal[2])), abs=1e-6)
        assert episode.steps == SO100_REACH.episode_steps
        assert not episode.success
    assert results[0]["success_rate"] == 0.0
    trace = Trace(tmp_path / "trace3.npz")
    for which in trace.header["episodes"]:
        mine = trace["episode"][:, which["env"]] == which["episode"]
        joint_pos, goal = SO100_REACH.episode(which["seed"])
        assert mine.sum() == SO100_REACH.episode_steps
        assert trace["joint_pos"][mine, which["env"]][0] == pytest.approx(joint_pos[::-1])
        assert trace["goal"][mine, which["env"]][0] == pytest.approx(goal)


def test_reach_success_is_judged_at_the_end(tmp_path: Path) -> None:
    """A tip at the goal is a success; the table gives the rate with its interval."""

    class Exact(FakePlant):
        def link_position(self, link: str) -> np.ndarray:
            x = self.truth.joint_pos[:, ARM.index("shoulder_pan")]
            return np.stack([x, *(np.tile(v, self.num_envs) for v in self.goal_yz)], axis=1)

    plant = Exact(ARM, timestep=0.01)
    plant.goal_yz = SO100_REACH.episode(0)[1][1:]
    pilot = pilot_of(tmp_path, goal_follower(), **arm_data())
    trace = tmp_path / "trace.npz"
    result = replay_reach(pilot, plant, SO100_REACH, seed=0, episodes=1, decimation=5, trace=trace)
    assert result["success_rate"] == 1.0
    assert result["mean_final_distance"] == pytest.approx(0.0, abs=1e-6)
    assert "100.0 % (1 of 1; 95 % interval 2.5 to 100.0 %)" in result.table()


def test_reach_refuses_other_policies(tmp_path: Path) -> None:
    """One that reads no goal, and one that runs at another rate."""
    plant = FakePlant(ARM, timestep=0.01)
    common: dict[str, Any] = {"seed": 0, "episodes": 1, "decimation": 5, "trace": tmp_path / "trace.npz"}
    pilot = pilot_of(tmp_path, **arm_data(observation={"terms": [{"term": "joint_pos"}]}))
    with pytest.raises(TaskError, match="reads no goal"):
        replay_reach(pilot, plant, SO100_REACH, **common)
    pilot = pilot_of(tmp_path, goal_follower(), **arm_data(decimation=2))
    with pytest.raises(TaskError, match=r"0.02 s.*20 Hz"):
        replay_reach(pilot, plant, SO100_REACH, **common)


def test_through_a_mapping_the_port_flies_its_source_side(tmp_path: Path) -> None:
    """A port in degrees under other names behaves as the policy in radians that it was made from."""
    source = pilot_of(tmp_path, goal_follower(), **arm_data())
    degrees = {name: {"unit": "deg"} for name in ARM}
    mapping = RobotMapping.model_validate(
        {
            "source_joint_names": ARM,
            "target_joint_names": [f"{name}.pos" for name in ARM],
            "rename": {name: f"{name}.pos" for name in ARM},
            "joints": degrees,
        }
    )
    from policy_port.remap import build_remap

    remap = build_remap(source.network_contract, mapping)
    # The action map of this remap is the identity: the target's action scale carries the degrees.
    assert remap.action.is_reorder
    port = Pilot(onnx=source.onnx, network_contract=remap.target)
    flown = port.through(mapping)
    assert flown.contract.joint_names == ARM
    traces = []
    for name, pilot in (("a", source), ("b", flown)):
        plant = FakePlant(ARM, timestep=0.01)
        trace = tmp_path / f"{name}.npz"
        replay_reach(pilot, plant, SO100_REACH, seed=3, episodes=1, decimation=5, trace=trace)
        traces.append(Trace(trace))
    np.testing.assert_allclose(traces[0]["target"], traces[1]["target"], atol=1e-6)
    with pytest.raises(MappingError, match="already speaks the simulator's side"):
        source.through(mapping)


@pytest.mark.pictures
def test_plots_are_drawn_of_both_kinds(tmp_path: Path) -> None:
    """A PNG of some size, of a walk and of reaching."""
    plant = FakePlant(LEGS, num_envs=2)
    replay_held(
        pilot_of(tmp_path), plant, Held(command=COMMAND, seconds=1.0), decimation=4, trace=tmp_path / "walk.npz"
    )
    pilot = pilot_of(tmp_path, goal_follower(), **arm_data())
    arm, trace = FakePlant(ARM, 2, timestep=0.01), tmp_path / "reach.npz"
    replay_reach(pilot, arm, SO100_REACH, seed=0, episodes=3, decimation=5, trace=trace)
    for name in ("walk", "reach"):
        data = plot_replay(Trace(tmp_path / f"{name}.npz"), title=name)
        assert data.startswith(b"\x89PNG")
        assert 20_000 < len(data) < 1_000_000


def test_an_arm_has_no_velocity_to_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that says nothing of a command is drawn as a walk where its base moves, else by its actions."""
    plant = FakePlant(LEGS)
    replay_held(pilot_of(tmp_path), plant, Held(command=COMMAND, seconds=0.2), decimation=4, trace=tmp_path / "t.npz")
    trace = Trace(tmp_path / "t.npz")
    shown: list[str] = []
    for name in ("_draw_velocities", "_draw_actions"):
        monkeypatch.setattr(plot, name, lambda axes, trace, name=name: shown.append(name))
    del trace.header["asked"]
    for velocity in (1.0, 0.0):
        moved = np.full(trace["base_lin_vel"].shape, velocity)
        monkeypatch.setattr(Trace, "__getitem__", _instead(Trace.__getitem__, "base_lin_vel", moved))
        plot_replay(trace, title="")
    assert shown == ["_draw_velocities", "_draw_actions"]


def _instead(read: Callable[[Trace, str], Any], name: str, array: Any) -> Callable[[Trace, str], Any]:
    return lambda trace, key: array if key == name else read(trace, key)
