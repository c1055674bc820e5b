"""PPO from pictures in a ManiSkill task: a run's files, how it goes on, and what its checkpoints are read as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("mani_skill", reason="mani_skill is not installed (extra: sim)")
pytest.importorskip("rsl_rl", reason="needs policy-port[train]")

from mani_skill.utils.registration import register_env

from policy_port.contract import load_contract
from policy_port.errors import TrainError
from policy_port.tasks.so100_ball_env import CAMERA, SO100ReachBallEnv
from policy_port.train import task_ppo as module
from policy_port.train.ppo import Plan
from policy_port.train.run import open_run
from policy_port.train.task_distil import pictures
from policy_port.train.task_place import TaskPlace

ENV_ID = "TestShortBall-v1"
register_env(ENV_ID, max_episode_steps=8)(type("ShortBall", (SO100ReachBallEnv,), {}))
SHIPPED = Path(__file__).resolve().parents[2] / "policy_port" / "assets" / "so100_reach"
TINY: dict[str, Any] = {
    "num_steps_per_env": 4,
    "max_iterations": 2,
    "save_interval": 1,
    "actor": {"cnn_cfg": {"output_channels": [4], "kernel_size": [3], "stride": [2]}, "hidden_dims": [8]},
    "critic": {"hidden_dims": [8]},
    "algorithm": {"num_learning_epochs": 1, "num_mini_batches": 2},
}

pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_run_films_its_checkpoints_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after its first checkpoint it goes on to the last; each is filmed, measured, and read as any other."""
    monkeypatch.setattr(module, "EPISODES", range(1))
    monkeypatch.setattr(module, "FINAL", range(1))
    agent, out = tmp_path / "agent.yaml", tmp_path / "run"
    agent.write_text(yaml.safe_dump(TINY))
    critic = load_contract(SHIPPED / "contract.yaml")
    terms = critic.observation.model_copy(update={"terms": critic.observation.terms[:2]})
    seeing = critic.model_copy(update={"observation": terms, "images": pictures([f"{CAMERA}=16x16"])})
    contracts = {"student": seeing, "teacher": critic}
    place = TaskPlace(env_id=ENV_ID, num_envs=1)
    module.train_task(contracts, place, Plan(out=out, agent=agent, minutes=0.0))
    assert list(open_run(out).checkpoints()) == [0, 1]
    run = module.train_task(contracts, place, Plan(out=out, agent=agent, resume=True))
    assert list(run.checkpoints()) == list(run.scores()) == [0, 1, 2]
    assert sorted(file.name for file in (out / "videos").iterdir()) == [f"model_{n}.mp4" for n in range(3)]
    assert any((out / "tensorboard").iterdir())
    assert "iterations it succeeds in" in run.result()[1]
    assert run.contract().images == seeing.images
    blind = {"class_name": "MLPModel", "distribution_cfg": {"class_name": "GaussianDistribution"}}
    agent.write_text(yaml.safe_dump({"actor": blind}))
    with pytest.raises(TrainError, match="actor is MLPModel, and it sees base_camera"):
        module.train_task(contracts, place, Plan(out=tmp_path / "blind", agent=agent))
    assert not (tmp_path / "blind").exists()
