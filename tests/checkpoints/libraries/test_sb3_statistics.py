"""Which statistics of VecNormalize are a checkpoint's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policy_port.checkpoints import LoadedPolicy, load_policy
from policy_port.errors import CheckpointError
from tests.checkpoints import written
from tests.checkpoints.libraries.sb3_files import HIGH, LOW, Runs, checkpoint, ppo, ppo_mean, statistics

SHARED = Path(__file__).resolve().parents[3].parent / "shared"
CASES = SHARED / "failing_inputs/sb3_vecnormalize"
OTHER = 17
"""Seed of the statistics of another checkpoint."""
WRAPPED = {"_last_original_obs": {":type:": "<class 'numpy.ndarray'>"}}


class Folder:
    """A run's folder."""

    def __init__(self, path: Path, foreign: dict[str, type]) -> None:
        self.path, self.foreign, self.state = path, foreign, ppo()

    def model(self, name: str, steps: int = 91, envs: int = 8, **data: Any) -> Path:
        """A checkpoint after some steps."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        space = self.foreign["Box"](low=LOW, high=HIGH)
        return checkpoint(path, self.state, space, num_timesteps=steps, n_envs=envs, **data)

    def text(self, name: str, text: str) -> None:
        """A configuration."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def error(self, policy: LoadedPolicy, moments: tuple[np.ndarray, np.ndarray] | None) -> float:
        """Largest difference from the network behind these statistics, in NumPy."""
        obs = written.observations(9, 6) * 3
        mean, variance = moments if moments is not None else (0.0, 1.0)
        x = np.clip((obs - mean) / np.sqrt(variance + 1e-8), -2, 2) if moments is not None else obs.astype(float)
        wanted = np.clip(ppo_mean(self.state, x, "tanh"), LOW, HIGH)
        return float(np.abs(policy.actor(torch.from_numpy(obs))[0].numpy() - wanted).max())


@pytest.fixture
def folder(tmp_path: Path, foreign: dict[str, type]) -> Folder:
    return Folder(tmp_path / "run", foreign)


OWN = [
    ("model_64000_steps.zip", "model_vecnormalize_64000_steps.pkl"),
    ("rl_model_64000_steps.zip", "rl_model_vecnormalize_64000_steps.pkl"),
    ("rl_model_64000_steps.zip", "vecnormalize_64000_steps.pkl"),
    ("model_64000.zip", "vecnormalize_64000.pkl"),
    ("model.zip", "model_vecnormalize.pkl"),
    ("model.zip", "model_vec_normalize.pkl"),
    ("best_model.zip", "best_model_vecnorm.pkl"),
    ("ppo-ant.zip", "vecnormalize_ppo-ant.pkl"),
]


@pytest.mark.parametrize(("model", "own"), OWN)
def test_statistics_named_after_the_checkpoint_are_taken(folder: Folder, model: str, own: str) -> None:
    """Of several files the one with the checkpoint's own name is taken, and the notes say which and why."""
    path = folder.model(model)
    moments = statistics(folder.path / own, folder.foreign)
    for other in ("vecnormalize.pkl", "other_vecnormalize_64000_steps.pkl", "model_vecnormalize_6400_steps.pkl"):
        statistics(folder.path / other, folder.foreign, OTHER)
    policy = load_policy(path)
    assert folder.error(policy, moments) < 1e-5
    assert any(f"statistics: {own} (named after this checkpoint), sha256" in note for note in policy.notes)


OTHERS = [
    ("model_64000_steps.zip", "model_vecnormalize.pkl"),
    ("model_64000_steps.zip", "model_vecnormalize_32000_steps.pkl"),
    ("model_64000_steps.zip", "model_vecnormalize_164000_steps.pkl"),
    ("model_64000_steps.zip", "other_vecnormalize_64000_steps.pkl"),
    ("model.zip", "model_vecnormalize_64000_steps.pkl"),
    ("best_model.zip", "model_vecnormalize.pkl"),
    ("model.zip", "env_before.pkl"),
]


@pytest.mark.parametrize(("model", "other"), OTHERS)
def test_statistics_of_another_checkpoint_are_never_taken(folder: Folder, model: str, other: str) -> None:
    """Where only another's file lies there, the error names it, and both remedies that it names work."""
    path = folder.model(model)
    moments = statistics(folder.path / other, folder.foreign)
    with pytest.raises(CheckpointError) as caught:
        load_policy(path)
    assert f"there lies {other}" in str(caught.value)
    assert "--statistics FILE" in str(caught.value)
    assert folder.error(load_policy(path, statistics=folder.path / other), moments) < 1e-5
    assert folder.error(load_policy(path, statistics="none"), None) < 1e-5


@pytest.mark.parametrize("place", ["vecnormalize.pkl", "vec_normalize.pkl", "Ant-v4/vecnormalize.pkl"])
@pytest.mark.parametrize("model", ["best_model.zip", "Ant-v4.zip", "rl_model_91_steps.zip"])
def test_a_general_name_is_settled_by_the_number_of_observations(folder: Folder, place: str, model: str) -> None:
    """vecnormalize.pkl is the checkpoint's with which it was written: as many observations as steps, and resets."""
    own, earlier = folder.model(model, steps=91), folder.model("earlier/best_model.zip", steps=40)
    folder.text("Ant-v4/config.yml", ORDERED + "- - - normalize\n    - true\n")
    moments = statistics(folder.path / place, folder.foreign)
    assert folder.error(load_policy(own), moments) < 1e-5
    shutil.copy(earlier, own)
    with pytest.raises(CheckpointError, match=r"steps of the checkpoint: 40; observations behind vec\w+\.pkl 99"):
        load_policy(own)


def test_a_general_name_that_cannot_be_compared_belongs_to_no_step(folder: Folder) -> None:
    """A file without steps is not paired with one of many checkpoints of a run; a lone model takes it with a note."""
    moments = statistics(folder.path / "vecnormalize.pkl", folder.foreign)
    with pytest.raises(CheckpointError, match="can't be told"):
        load_policy(folder.model("rl_model_91_steps.zip", steps=0))
    policy = load_policy(folder.model("model.zip", steps=0))
    assert folder.error(policy, moments) < 1e-5
    assert any("can't be compared" in note for note in policy.notes)


def test_two_files_that_fit_are_asked_about(folder: Folder) -> None:
    """Two files named after one checkpoint, or two of a general name that fit, are refused."""
    path = folder.model("model.zip")
    for name in ("model_vecnormalize.pkl", "model_vec_normalize.pkl"):
        statistics(folder.path / name, folder.foreign)
    with pytest.raises(CheckpointError, match="there lie .*more than one is named after this checkpoint"):
        load_policy(path)
    for name in ("model_vecnormalize.pkl", "model_vec_normalize.pkl"):
        (folder.path / name).rename(folder.path / name.removeprefix("model_"))
    with pytest.raises(CheckpointError, match="which of them is this checkpoint's can't be told"):
        load_policy(path)


ORDERED = "!!python/object/apply:collections.OrderedDict\n"
YES = {
    "params/agent.yaml": "normalize_input: true\n",
    "../params/agent.yaml": "normalize_input: true\n",
    "Ant-v4/config.yml": ORDERED + "- - - n_envs\n    - 8\n  - - normalize\n    - true\n",
    "Ant-v4/args.yml": "normalize: \"{'norm_obs': True, 'norm_reward': False}\"\n",
    "config.yml": "vec_env_wrapper: stable_baselines3.common.vec_env.VecNormalize\n",
}


@pytest.mark.parametrize("name", YES)
def test_stated_normalisation_without_statistics_is_refused(folder: Folder, name: str) -> None:
    """A configuration that says that observations are normalised is not ignored; the remedy works."""
    path = folder.model("model.zip")
    folder.text(name, YES[name])
    with pytest.raises(CheckpointError, match=r"says that observations are normalised and no file of statistics"):
        load_policy(path)
    assert folder.error(load_policy(path, statistics="none"), None) < 1e-5


NO = {
    "params/agent.yaml": "normalize_input: false\n",
    "config.yml": "normalize: \"{'norm_obs': False, 'norm_reward': True}\"\n",
    "args.yml": "normalize: false\n",
}


@pytest.mark.parametrize("name", NO)
def test_stated_absence_of_normalisation_is_held_against_the_files(folder: Folder, name: str) -> None:
    """Statistics named after a checkpoint whose run normalised nothing are a contradiction; others are named."""
    path = folder.model("model.zip", **WRAPPED)
    folder.text(name, NO[name])
    assert folder.error(load_policy(path), None) < 1e-5
    statistics(folder.path / "model_vecnormalize_64000_steps.pkl", folder.foreign)
    policy = load_policy(path)
    assert folder.error(policy, None) < 1e-5
    assert any("not taken: model_vecnormalize_64000_steps.pkl" in note for note in policy.notes)
    moments = statistics(folder.path / "model_vecnormalize.pkl", folder.foreign)
    with pytest.raises(CheckpointError, match="says that observations are not normalised, and model_vecnormalize.pkl"):
        load_policy(path)
    assert folder.error(load_policy(path, statistics=folder.path / "model_vecnormalize.pkl"), moments) < 1e-5


def test_a_file_that_shows_that_it_was_normalised_is_refused(folder: Folder) -> None:
    """An on-policy file keeps an original observation only under VecNormalize, so its statistics are missing."""
    path = folder.model("model.zip", **WRAPPED)
    with pytest.raises(CheckpointError, match="the run used VecNormalize"):
        load_policy(path)
    assert folder.error(load_policy(path, statistics="none"), None) < 1e-5
    assert folder.error(load_policy(folder.model("plain.zip")), None) < 1e-5


def test_norm_obs_false_clip_and_epsilon_are_the_pickles(folder: Folder) -> None:
    """Statistics of rewards alone change nothing; clip and epsilon count as written; nonsense is refused."""
    path, own = folder.model("model.zip"), folder.path / "model_vecnormalize.pkl"
    statistics(own, folder.foreign, norm_obs=False)
    assert folder.error(load_policy(path), None) < 1e-5
    mean, variance = statistics(own, folder.foreign, epsilon=0.5)
    assert folder.error(load_policy(path), (mean, variance + 0.5)) < 1e-5
    for values in ({"clip_obs": -1.0}, {"clip_obs": float("nan")}, {"epsilon": -9.0}):
        statistics(own, folder.foreign, **values)
        with pytest.raises(CheckpointError, match="is none that VecNormalize works with"):
            load_policy(path)


def test_a_name_that_the_count_contradicts_is_told(folder: Folder) -> None:
    """Statistics named after a checkpoint of other steps are taken, and the note says what does not fit."""
    statistics(folder.path / "model_vecnormalize.pkl", folder.foreign, count=5000.0)
    notes = load_policy(folder.model("model.zip")).notes
    assert any("5000 observations are behind it, and the checkpoint has 91 steps" in note for note in notes)


def test_what_an_ignored_pickle_would_run_is_named(folder: Folder) -> None:
    """A pickle beside the statistics that holds a command is named too, and not run."""
    mark = folder.path / "executed"
    statistics(folder.path / "model_vecnormalize.pkl", folder.foreign)
    statistics(folder.path / "model_vecnormalize_8_steps.pkl", folder.foreign, training=Runs(f"touch {mark}"))
    notes = load_policy(folder.model("model.zip")).notes
    assert any("model_vecnormalize_8_steps.pkl (not taken) holds more than statistics" in note for note in notes)
    assert not mark.exists()


def test_what_is_named_must_be_statistics(folder: Folder) -> None:
    """`--statistics` with a file that is missing or something else is an error."""
    path = folder.model("model.zip")
    with pytest.raises(CheckpointError, match="can't be read"):
        load_policy(path, statistics=folder.path / "absent.pkl")
    (folder.path / "rewards.pkl").write_bytes(b"\x80\x04N.")
    with pytest.raises(CheckpointError, match="is not a pickled VecNormalize"):
        load_policy(path, statistics=folder.path / "rewards.pkl")


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared files are not here")
@pytest.mark.parametrize("case", ["a", "b"])
def test_the_librarys_own_answers(case: str) -> None:
    """Real files of SB3's and Isaac Lab's names give what predict() gives, to 1e-4."""
    policy = load_policy(CASES / case / "model_64000_steps.zip")
    oracle = np.load(SHARED / "checkpoints/sb3_2.7.0_ppo_vecnormalize/oracle.npz")
    obs = oracle["obs"].reshape(-1, 33).astype(np.float32)
    actions = policy.actor(torch.from_numpy(obs))[0].numpy()
    assert float(np.abs(actions - oracle["actions"].reshape(-1, 7)).max()) < 1e-4


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared files are not here")
def test_isaac_labs_normalize_input_without_statistics_is_refused() -> None:
    """A real run's agent.yaml with normalize_input and no statistics is refused."""
    with pytest.raises(CheckpointError, match=r"agent\.yaml says that observations are normalised"):
        load_policy(CASES / "c/model.zip")
