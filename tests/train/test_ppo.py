"""Training from nothing: what a run leaves, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from policy_port.contract import load_contract
from policy_port.errors import PolicyPortError, TaskError, TrainError
from policy_port.train.finetune import open_start, place_of
from policy_port.train.place import Place
from policy_port.train.ppo import Plan, critic_contract, train
from policy_port.train.run import open_run
from tests.train import rover

SHORT = {"num_steps_per_env": 8, "max_iterations": 2, "save_interval": 2, "algorithm": {"num_mini_batches": 2}}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The rover's files, and settings for a training of two iterations."""
    folder = tmp_path_factory.mktemp("rover")
    agent = folder / "agent.yaml"
    agent.write_text(rover.agent_yaml({**rover.AGENT, **SHORT}))
    return {**rover.write(folder), "agent": agent}


def place(files: dict[str, Path]) -> Place:
    return Place(plant="mujoco", robot=files["robot"], task=files["task"], num_envs=4, seed=3)


@pytest.mark.pictures
def test_a_run_holds_all_that_went_in(files: dict[str, Path], out: Path, drawn: None) -> None:
    """Contracts, task and whole settings stand in the folder, and a longer resumption goes on from its end."""
    plan = Plan(out=out, agent=files["agent"])
    run = train(files["student"], place(files), plan)
    assert run.contract() == load_contract(files["student"])
    assert {term.label for term in run.contract("critic").observation.terms} >= {"base_lin_vel", "projected_gravity"}
    assert yaml.safe_load((out / "agent.yaml").read_text())["algorithm"]["clip_param"] == 0.2
    assert run.record.hashes.keys() > {"agent.yaml", "task.yaml", "contracts/actor.yaml", "contracts/critic.yaml"}
    page = (out / "report.html").read_text()
    assert "Learning curve" in page
    assert len(page) > 50_000
    longer = train(files["student"], place(files), replace(plan, resume=True, iterations=3))
    assert list(longer.checkpoints()) == [0, 2, 3]
    assert longer.result()[0].name == "model_3.pt"
    assert [row["iteration"] for row in open_run(out).rows()] == ["0", "1", "2"]
    told: list[str] = []
    again = replace(plan, resume=True, iterations=2, tell=told.append)
    assert list(train(files["student"], place(files), again).checkpoints()) == [0, 2, 3]
    assert [note for note in told if "has done 3 iterations, and 2 in all are asked for" in note]
    assert "give --iterations with more than 3" in " ".join(told)


def test_a_resumption_is_held_against_what_was_begun(files: dict[str, Path], out: Path) -> None:
    """Another contract, robot or number of environments are told by name, and the run stays as it is."""
    plan = Plan(out=out, agent=files["agent"])
    train(files["student"], place(files), plan)
    before = sorted(file.name for file in out.iterdir())
    other = files["robot"].with_name("other.xml")
    other.write_text(rover.MJCF.replace('mass="4"', 'mass="5"'))
    asked = replace(place(files), robot=other, num_envs=6)
    words = r"num_envs was 4, now 6\n  contracts/actor.yaml is another.*\n.*\n  robot is another"
    with pytest.raises(TrainError, match=words):
        train(files["teacher"], asked, replace(plan, resume=True))
    assert sorted(file.name for file in out.iterdir()) == before


def test_a_run_under_identified_dynamics_is_resumed_to_the_same_curve(files: dict[str, Path], tmp_path: Path) -> None:
    """Delay and noisy encoders change the curve, a resumption does not; without the dynamics it is refused."""
    dynamics = tmp_path / "dynamics.yaml"
    dynamics.write_text(
        "policy_port_dynamics: 1\nrobot: {file: robot.xml}\njoints: {left: {delay: 0.01}}\n"
        "common: {encoder_noise: 0.05}\n"
    )
    plan = Plan(out=tmp_path / "cut", agent=files["agent"], iterations=4, minutes=1e-9)
    there = replace(place(files), dynamics=dynamics)
    train(files["student"], there, plan)
    with pytest.raises(TrainError, match=r"dynamics.yaml is not given now"):
        train(files["student"], place(files), replace(plan, resume=True))
    resumed = train(files["student"], there, replace(plan, resume=True, minutes=None))
    whole = train(files["student"], there, replace(plan, out=tmp_path / "whole", minutes=None))
    plain = train(files["student"], place(files), replace(plan, out=tmp_path / "plain"))
    curves = [(run.path / "curve.csv").read_text() for run in (resumed, whole, plain)]
    assert curves[0] == curves[1]
    assert curves[0].splitlines()[1] != curves[2].splitlines()[1]
    nothing = dict.fromkeys(("plant", "robot", "task", "num_envs", "device"))
    tuned = place_of(open_start(whole.path, None), seed=0, **nothing)  # type: ignore[arg-type]
    assert tuned.dynamics == whole.path / "dynamics.yaml"


def test_a_critic_reads_what_the_actor_does_and_how_the_base_moves() -> None:
    """The critic's terms are the actor's, and those of the base that the actor lacks, each once."""
    terms = [term.term for term in critic_contract(rover.contract("student")).observation.terms]
    assert terms == [
        *("base_ang_vel", "velocity_command", "joint_vel", "last_action"),
        *("base_lin_vel", "projected_gravity"),
    ]
    assert [t.term for t in critic_contract(rover.contract("teacher")).observation.terms].count("base_lin_vel") == 1


WRONG = {
    "a task for another robot": ({"task": "go2_velocity"}, {}, TaskError, r"made for .*Go2.*not on this robot"),
    "no shipped task": ({"task": "velocity"}, {}, TaskError, r"no shipped velocity task knows its links.*--task FILE"),
    "an unknown key": ({}, {"learning_rat": 1}, TrainError, r"agent.yaml:\d+: unknown key 'learning_rat'"),
    "a key of another class": (
        {},
        {"actor": {**rover.AGENT["actor"], "rnn_type": "gru"}},
        TrainError,
        r"class_name MLPModel takes no rnn_type",
    ),
    "a memory without its size": (
        {},
        {"critic": {"class_name": "RNNModel", "rnn_type": "gru"}},
        TrainError,
        r"class_name RNNModel needs rnn_hidden_dim",
    ),
    "an actor that tries nothing out": (
        {},
        {"actor": {"distribution_cfg": None}},
        TrainError,
        r"actor needs a distribution_cfg",
    ),
    "a device that is not there": (
        {"device": "cuda:99"},
        {},
        TrainError,
        r"'cuda:99': torch sees .* CUDA devices",
    ),
    "no device": ({"device": "gpu"}, {}, TrainError, r"device 'gpu': there are cpu and cuda"),
    "a width beyond all memory": (
        {},
        {"actor": {**rover.AGENT["actor"], "hidden_dims": [10**8, 10**8]}},
        TrainError,
        r"less than or equal to 65536",
    ),
    "too many parts": ({}, {"algorithm": {"num_mini_batches": 33}}, TrainError, r"num_mini_batches is 33, more than"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused(files: dict[str, Path], out: Path, case: str) -> None:
    """Each mistake is told by file and key or by name, and nothing is written."""
    where, settings, error, words = WRONG[case]
    agent = out.with_name("agent.yaml")
    agent.write_text(rover.agent_yaml({**rover.AGENT, **SHORT, **settings}))
    with pytest.raises(error, match=words) as caught:
        train(files["student"], replace(place(files), **where), Plan(out=out, agent=agent))
    assert caught.value.exit_code == 2
    assert not out.exists()


def test_environments_are_shared_out_whole_to_a_network_that_remembers(files: dict[str, Path], out: Path) -> None:
    """RSL-RL would leave environments out of every update; the number that the message names is taken."""
    agent = out.with_name("agent.yaml")
    memory = {"class_name": "RNNModel", "rnn_type": "gru", "rnn_hidden_dim": 8, "rnn_num_layers": 1}
    memory |= {"hidden_dims": [8], "distribution_cfg": {"init_std": 0.5}}
    agent.write_text(rover.agent_yaml({**rover.AGENT, **SHORT, "actor": memory}))
    plan = Plan(out=out, agent=agent)
    with pytest.raises(PolicyPortError, match=r"doesn't divide 5 environments.*--num-envs 4"):
        train(files["student"], replace(place(files), num_envs=5), plan)
    assert train(files["student"], replace(place(files), num_envs=4), plan).rows()


def test_too_few_environments_are_told(files: dict[str, Path], out: Path) -> None:
    """A batch that can't be cut into so many parts is refused; a larger --num-envs, or fewer parts, serve."""
    agent = out.with_name("agent.yaml")
    agent.write_text(rover.agent_yaml({**rover.AGENT, **SHORT, "algorithm": {"num_mini_batches": 9}}))
    plan = Plan(out=out, agent=agent)
    with pytest.raises(TrainError, match=r"is 9, more than 1 environments x 8 steps; set it lower.*--num-envs"):
        train(files["student"], replace(place(files), num_envs=1), plan)
    assert train(files["student"], replace(place(files), num_envs=2), plan).rows()
