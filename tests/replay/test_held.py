"""Replays without a task: an arm runs for a time, its goals held as given or drawn from their range."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract
from policy_port.errors import TaskError
from policy_port.port.pilot import Pilot
from policy_port.replay.goals import HeldGoals
from policy_port.replay.held import Held, replay_held
from policy_port.trace import Trace
from tests.control.fake_plant import FakePlant
from tests.control.networks import save_linear
from tests.samples import LEGS, contract_data

POINT = {"term": "goal", "name": "point", "size": 3, "frame": "base link, m", "scale": 2.0}
RANGE = {"low": [0.1, -0.2, 0.3], "high": [0.3, 0.2, 0.3]}
OBJECT = {"term": "external", "name": "obj_pose", "size": 2}
ARM = {"base": {"floating": False}, "quaternion_order": "none"}


def contract_of(*terms: dict[str, Any], **changes: Any) -> Contract:
    joints = [{"term": "joint_pos"}]
    return Contract.model_validate(contract_data(observation={"terms": [*joints, *terms]}, **{**ARM, **changes}))


def held(tmp_path: Path, contract: Contract, num_envs: int = 1, plant: FakePlant | None = None, **asked: Any) -> Any:
    """A replay of a network that answers zero, and its trace."""
    matrix = np.zeros((contract.observation_size, contract.action_size))
    pilot = Pilot(onnx=save_linear(tmp_path / "policy.onnx", matrix), network_contract=contract)
    plant = FakePlant(LEGS, num_envs) if plant is None else plant
    trace = tmp_path / "trace.npz"
    return replay_held(pilot, plant, Held(**{"seconds": 0.2, **asked}), decimation=4, trace=trace), Trace(trace)


def test_an_arm_without_a_goal_runs_for_its_time(tmp_path: Path) -> None:
    """The table says how long and how well joints followed, and that nobody judged a task; no velocity is claimed."""
    result, trace = held(tmp_path, contract_of())
    assert len(trace["time"]) == 10
    assert (result["duration"], result["diverged"]) == (pytest.approx(0.2), 0)
    assert "nobody judged" in result.setting["task"]
    assert not {"mean_lin_vel_x", "survival", "success_rate"} & {metric.key for metric in result.metrics}
    assert trace.header["asked"] == {"command": None, "goals": {}, "seconds": 0.2}


def test_goals_are_held_by_name_before_their_scale(tmp_path: Path) -> None:
    """Given in another order than the contract's, each reaches its own term, scaled as the contract says."""
    other = {"term": "goal", "name": "width", "size": 1, "frame": "m"}
    goals = {"width": (0.05,), "point": (0.1, 0.2, 0.3)}
    result, trace = held(tmp_path, contract_of(POINT, other), goals=goals)
    assert np.allclose(trace["goal"][:, 0], [0.1, 0.2, 0.3, 0.05])
    assert np.allclose(trace["observation"][:, 0, 4:], [0.2, 0.4, 0.6, 0.05])
    assert "point: 0.1, 0.2, 0.3" in result.setting["goals"]


def test_an_external_term_is_held_where_it_stands(tmp_path: Path) -> None:
    """Its numbers reach the network as they are; the trace's goals stay those of goal terms."""
    result, trace = held(tmp_path, contract_of(OBJECT, POINT), goals={"obj_pose": (7.0, -8.0), "point": (0, 0, 1)})
    assert np.allclose(trace["observation"][:, 0, 4:], [7.0, -8.0, 0.0, 0.0, 2.0])
    assert trace["goal"].shape == (10, 1, 3)
    assert "obj_pose: 7, -8" in result.setting["goals"]


def test_drawn_goals_differ_by_episode_and_repeat_by_seed(tmp_path: Path) -> None:
    """Episode e has seed + e, whichever environment does it; every goal lies in its range."""
    goals = {"point": "draw"}
    contract = contract_of({**POINT, **RANGE})
    found = {}
    for num_envs in (1, 2, 5):
        result, trace = held(tmp_path, contract, num_envs, goals=goals, episodes=5, seed=3)
        listed = trace.header["episodes"]
        assert [entry["seed"] for entry in listed] == [3, 4, 5, 6, 7]
        drawn = []
        for entry in listed:
            mine = trace["goal"][trace["episode"][:, entry["env"]] == entry["episode"], entry["env"]]
            assert len(mine) == 10
            assert (mine == mine[0]).all(), "held through the episode"
            drawn.append(mine[0])
        found[num_envs] = np.array(drawn)
        assert result.setting["seeds"] == "3 to 7"
    assert np.array_equal(found[1], found[2])
    assert np.array_equal(found[1], found[5])
    assert len(np.unique(found[1][:, 0])) == 5
    assert (found[1] >= RANGE["low"]).all()
    assert (found[1] <= RANGE["high"]).all()


def test_a_walk_holds_goals_too(tmp_path: Path) -> None:
    """A policy with a command and a goal, such as a height, is refused with zero for the latter and flown with both."""
    height = {"term": "goal", "name": "height", "size": 1, "frame": "m"}
    contract = contract_of({"term": "velocity_command"}, height, base={"floating": True}, quaternion_order="wxyz")
    with pytest.raises(TaskError, match="reads goal 'height'"):
        held(tmp_path, contract, command=(0.5, 0.0, 0.0))
    result, trace = held(tmp_path, contract, command=(0.5, 0.0, 0.0), goals={"height": (0.3,)})
    assert np.allclose(trace["observation"][:, 0, 4:], [0.5, 0.0, 0.0, 0.3])
    assert "did not fall" in result.table()


class Breaking(FakePlant):
    """The joints become NaN after three control steps."""

    def step(self, count: int) -> None:
        super().step(count)
        if self.log.count("step") == 3:
            self.truth.joint_pos[:] = np.nan


def test_an_arm_whose_simulation_diverges_has_not_run(tmp_path: Path) -> None:
    """It ends there, is counted, and the numbers up to there stand."""
    result, trace = held(tmp_path, contract_of(), plant=Breaking(LEGS))
    assert (result["duration"], result["diverged"], len(trace["time"])) == (pytest.approx(0.06), 1, 3)
    assert "1 of 1: the simulation became NaN" in result.table()


def test_an_episode_of_one_step_has_no_rate(tmp_path: Path) -> None:
    """What needs two steps is a dash, not a NaN and not a warning."""
    result, _ = held(tmp_path, contract_of(), seconds=0.001)
    assert (result["joint_tracking_rmse"], result["action_rate"]) == (None, None)
    assert "NaN" not in result.json()


@pytest.mark.parametrize(
    ("terms", "asked", "message"),
    [
        ([POINT], {}, "reads goal 'point' (3 numbers; base link, m), and nobody gives it one: --goal point=N0,N1,N2"),
        ([{**POINT, **RANGE}], {}, "or --goal point=draw for new ones from its range"),
        ([POINT], {"goals": {"pont": (1.0,)}}, "no goal 'pont'; did you mean 'point'? Its goals, with their sizes"),
        ([], {"goals": {"point": (1.0,)}}, "leave --goal point out"),
        ([POINT], {"goals": {"point": (1.0, 2.0)}}, "has 3 numbers, given: 2; write --goal point=N0,N1,N2"),
        ([POINT], {"goals": {"point": (1.0, 2.0, float("nan"))}}, "takes finite numbers"),
        ([POINT], {"goals": {"point": "draw"}}, "states no `low` and `high` of it; give its numbers: --goal point=N0"),
        ([OBJECT], {"goals": {"obj_pose": "draw"}}, "of which no range is stated; give its numbers"),
        ([OBJECT], {}, "play it with --env, or hold its 2 numbers with --goal obj_pose=N0,N1"),
        (
            [{**POINT, "size": 4, "frame": "wxyz", "low": [-1] * 4, "high": [1] * 4}],
            {"goals": {"point": "draw"}},
            "elements drawn one by one are no rotation",
        ),
        ([], {"command": (0.0, 0.0, 0.0)}, "leave --command out and say how long it is to run with --seconds 0.2"),
        ([{"term": "velocity_command"}], {}, "say which with --command VX,VY,WZ"),
        ([POINT], {"goals": {"point": (1.0, 2.0, 3.0)}, "episodes": 5}, "5 episodes would all be the same one"),
    ],
)
def test_what_does_not_fit_is_named_with_the_remedy(
    terms: list[dict[str, Any]], asked: dict[str, Any], message: str
) -> None:
    """Nothing that the policy reads is assumed, and nothing is taken that it does not read."""
    with pytest.raises(TaskError) as raised:
        Held(**{"seconds": 0.2, **asked}).goals_of(contract_of(*terms))
    assert message in str(raised.value)


def test_goals_outside_their_range_are_told() -> None:
    """Each number, by its place; drawn ones never are."""
    contract = contract_of({**POINT, **RANGE})
    (text,) = HeldGoals(contract, {"point": (0.2, 0.9, 0.3)}).outside()
    assert "goal point[1] = 0.9 is outside [-0.2, 0.2]" in text
    assert HeldGoals(contract, {"point": "draw"}).outside() == []
