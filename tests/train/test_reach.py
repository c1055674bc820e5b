"""The reach task as RSL-RL's environment: what a replay sees and does, and a fine-tuning that keeps what is better."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

pytest.importorskip("mani_skill", reason="ManiSkill, which ships the arm's description, is not installed")

from policy_port.checkpoints import load_policy
from policy_port.contract import load_contract
from policy_port.control.controller import Controller
from policy_port.errors import EvidenceError, TaskError, TrainError
from policy_port.replay.result import Episode
from policy_port.resources import assets_dir
from policy_port.robots.arm.robot_file import load_robot_file
from policy_port.tasks.reach_training import read_reach
from policy_port.train.evaluate import ActorPolicy
from policy_port.train.finetune import open_start, place_of
from policy_port.train.paired import mcnemar, paired, sign_flip
from policy_port.train.place import Place
from policy_port.train.ppo import Plan, extended, stand_up
from policy_port.train.reach import ReachJudge, finetune_reach, perform_reach
from policy_port.train.run import Run
from policy_port.train.settings import PpoAgent, ReachAgent, read_agent

ASSETS = assets_dir() / "so100_reach"
DYNAMICS = "policy_port_dynamics: 1\nrobot: {file: so100.urdf}\njoints: {elbow_flex: {delay: 0.06, backlash: 0.03}}\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Three arms with a slack, late elbow, where goals lie as in the task."""
    folder: Path = tmp_path_factory.mktemp("reach")
    (folder / "dynamics.yaml").write_text(DYNAMICS)
    (folder / "task.yaml").write_text("policy_port_task: 1\nkind: reach\nname: plain\ntask: so100-reach\n")
    return Place(
        plant="mujoco", robot=Path("so100"), task=folder / "task.yaml", num_envs=3, dynamics=folder / "dynamics.yaml"
    )


def test_training_sees_and_does_what_a_replay_does(place: Place) -> None:
    """From the same start the environment's observations and those of a replay's controller are the same numbers."""
    contract = load_contract(ASSETS / "contract.yaml")
    actor = load_policy(ASSETS / "model.pt").actor
    environment = stand_up(place, {"actor": contract, "critic": contract}, "actor")
    plant = place.make_plant(contract, 3)
    try:
        controller = Controller(contract, ActorPolicy(actor, 3), plant.joint_names, 3, mountings=plant.mounting)
        environment.plant.read(controller.state)
        plant.reset(controller.state.joint_pos.copy())
        plant.read(controller.state)
        controller.goal[...] = environment.signals.goal
        controller.reset()
        for _ in range(8):
            target = controller()
            seen = environment.get_observations()
            np.testing.assert_allclose(seen["actor"].numpy(), controller.observation, atol=1e-5)
            assert torch.equal(seen["actor"], seen["critic"])
            environment.step(torch.from_numpy(controller.action.copy()))
            plant.write(target)
            plant.step(5)
            plant.read(controller.state)
    finally:
        environment.close()
        plant.close()


def test_a_fine_tuning_goes_from_the_policy_and_keeps_it_where_nothing_is_better(place: Place, tmp_path: Path) -> None:
    """Two iterations of a critic change no weight, so the result is the policy that it began with, and says so."""
    agent = tmp_path / "agent.yaml"
    agent.write_text("num_steps_per_env: 8\nsave_interval: 2\n")
    start = open_start(ASSETS / "model.pt", ASSETS / "contract.yaml")
    place = stopping(place, 0.3)
    run = finetune_reach(start, place, Plan(out=tmp_path / "run", agent=agent, iterations=2))
    file, reason = run.result()
    assert file.name == "model_0.pt"
    assert "which no checkpoint did better than" in reason
    assert run.scores()[0] == run.scores()[2]
    assert run.scores()[0]["success"] > 0.9
    assert run.scores()[0]["stopped"] == 0.0
    assert set(run.record.hashes) >= {"dynamics.yaml", "task.yaml", "limits.yaml"}
    # Whoever fine-tunes the run again keeps its arm's limits.
    again = place_of(
        open_start(run.path, None), plant=None, robot=None, task=None, num_envs=None, seed=0, device=None
    )  # fmt: skip
    assert again.limits == place.limits
    own, old = (load_policy(one, kind="rsl_rl").actor for one in (file, start.file))
    plant = place.make_plant(start.contract, 3)
    task = read_reach(place.task)
    assert task is not None
    found = [perform_reach(start.contract, one, plant, task.judged, range(3)) for one in (own, old)]
    plant.close()
    assert found[0] == found[1]


def stopping(place: Place, tracking_error: float) -> Place:
    """The place, with an elbow that may stay no farther behind than so [rad]."""
    limits = load_robot_file("so100").limits
    elbow = limits.joints["elbow_flex"].model_copy(update={"tracking_error": tracking_error})
    return replace(place, limits=limits.model_copy(update={"joints": {**limits.joints, "elbow_flex": elbow}}))


def test_what_the_arm_would_stop_has_failed_in_simulation_and_is_no_way_out(place: Place, tmp_path: Path) -> None:
    """A policy that always reaches fails where its arm would be stopped: judged, and while it learns, at a cost."""
    contract = load_contract(ASSETS / "contract.yaml")
    task, tight = read_reach(place.task), stopping(place, 0.02)
    assert task is not None
    agent = ReachJudge(contract, stopping(place, 0.3), task).measure(ASSETS / "model.pt", 0, 3)
    assert [one.success for one in agent] == [True] * 3
    found = ReachJudge(contract, tight, task).measure(ASSETS / "model.pt", 0, 3)
    assert [one.success for one in found] == [False] * 3
    assert all(one.steps < 40 and "elbow_flex stays" in (one.stopped or "") for one in found)
    environment = stand_up(tight, {"actor": contract, "critic": contract}, "actor")
    # What learns to go up to a bound goes beyond it on an arm that is a little slower.
    assert environment.plant.limits.joints["elbow_flex"].tracking_error == pytest.approx(0.9 * 0.02)
    actor, rewards, extras = load_policy(ASSETS / "model.pt").actor, list[float](), dict[str, Any]()
    for _ in range(40):
        with torch.inference_mode():
            (action,) = actor(environment.get_observations()["actor"])
        _, reward, ended, extras = environment.step(action)
        rewards.append(float(reward.min()))
        if ended.any():
            break
    environment.close()
    assert not extras["time_outs"].any()
    assert extras["log"]["episode/stopped"] == 1.0
    assert rewards[-1] < min(rewards[:-1]) - 4.0


def test_what_reaches_learns_under_the_draws_that_its_run_keeps(place: Place, tmp_path: Path) -> None:
    """The environment's arms are those of drawn.csv, and not those that checkpoints are judged by."""
    posterior = "posterior: {names: [elbow_flex.delay], mean: [0.06], covariance: [[1.0e-5]]}\n"
    (tmp_path / "dynamics.yaml").write_text(DYNAMICS + posterior)
    drawn = replace(place, dynamics=tmp_path / "dynamics.yaml", randomise="posterior")
    contract = load_contract(ASSETS / "contract.yaml")
    environment = stand_up(drawn, {"actor": contract}, "actor")
    hashes = environment.plant.hashes
    environment.close()
    assert [hashed in str(drawn.texts()["drawn.csv"]) for hashed in hashes] == [True] * 3


@pytest.mark.parametrize(
    ("scores", "until"),
    [
        ({0: 0.0, 20: 0.1, 40: 0.5}, 60),  # still gets better
        ({0: 0.0, 20: 0.5, 40: 0.5}, 60),  # one checkpoint that is no better may be chance
        ({0: 0.5, 20: 0.5, 40: 0.5}, 40),  # two are none
        ({0: 0.0, 20: 0.1, 40: 1.0}, 40),  # nothing is left to win
        ({0: 0.0, 20: 0.1}, 20),  # what is due is not done
        ({0: 0.0, 80: 0.8, 100: 0.9}, 110),  # the most that is allowed
        ({0: 0.0, 100: 0.8, 110: 0.9}, 110),
    ],
)
def test_a_run_goes_on_while_it_gets_better(scores: dict[int, float], until: int) -> None:
    """Beyond its iterations, checkpoint by checkpoint; never past its bound, and of a velocity task not at all."""
    run = cast(Run, SimpleNamespace(scores=lambda: {done: {"success": rate} for done, rate in scores.items()}))
    network = open_start(ASSETS / "model.pt", ASSETS / "contract.yaml").network
    agent = read_agent(ReachAgent, "finetune_reach", None, {"actor": network})
    assert agent.extend_to is not None
    agent = agent.model_copy(update={"max_iterations": 40, "extend_to": 110})
    assert extended(run, agent, max(scores)) == until
    with pytest.raises(TrainError, match="extend_to"):
        read_agent(PpoAgent, "finetune_reach", None, {"actor": network})


def test_a_task_file_of_kind_reach_is_strict(tmp_path: Path) -> None:
    """A wrong key, a range turned round and a count that is not the arm's are refused; tasks of other kinds pass by."""
    shipped = read_reach("so100-reach")
    assert shipped is not None
    assert shipped.learnt.goal_radius == (0.18, 0.36)
    assert shipped.judged.goal_radius == (0.2, 0.34)
    assert read_reach("velocity") is None
    assert read_reach(assets_dir() / "tasks" / "go2_velocity.yaml") is None
    for line, says in (("goal_heigth: [0, 1]", "did you mean 'goal_height'"), ("goal_height: [1, 0]", "is above 0"),
                       ("joint_noise: [0.1]", "has 6 joints"), ("lag: 0", "greater than 0")):  # fmt: skip
        (tmp_path / "task.yaml").write_text(f"policy_port_task: 1\nkind: reach\nname: a\ntask: so100-reach\n{line}\n")
        with pytest.raises(TaskError, match=says):
            read_reach(tmp_path / "task.yaml")


def test_pairs_are_of_the_same_episodes_and_the_tests_are_exact() -> None:
    """One pair says nothing, seven do; distances count where outcomes don't; other seeds are refused."""

    def played(wins: int, distance: float, first: int = 0) -> tuple[Episode, ...]:
        noise = np.random.default_rng(first).normal(0.0, 0.001, 8)
        return tuple(Episode(seed=first + n, steps=1, success=n < wins, final_distance=distance + noise[n])
                     for n in range(8))  # fmt: skip

    assert mcnemar(1, 0) == 1.0
    assert mcnemar(6, 0) == pytest.approx(2.0 / 64.0)
    assert mcnemar(3, 3) == 1.0
    assert sign_flip(np.zeros(5)) == 1.0
    assert sign_flip(np.ones(12)) < 0.001
    assert paired(played(8, 0.01), played(1, 0.03)).better(0.05)
    assert not paired(played(2, 0.03), played(1, 0.03)).better(0.05)
    assert paired(played(8, 0.01), played(8, 0.015)).better(0.05)
    assert not paired(played(7, 0.01), played(8, 0.015)).better(0.05)
    with pytest.raises(EvidenceError, match="needs the same seeds"):
        paired(played(8, 0.01), played(8, 0.01, first=1))
