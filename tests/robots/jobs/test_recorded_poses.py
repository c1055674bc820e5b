"""Pictures and joint positions out of a LeRobotDataset, for `camera solve`."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from policy_port.camera.shots import PosesFile
from policy_port.cli.app import app
from policy_port.errors import CameraError
from policy_port.robots.jobs import recorded_poses as module
from policy_port.robots.jobs.recorded_poses import Recorded, apart, write_poses

NAMES = ["shoulder_pan.pos", "gripper.pos"]
STANDS = 8
"""Frames for which the arm stands still at each place."""


class Columns:
    """`hf_dataset` of LeRobot, as far as it is asked."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def select_columns(self, _: list[str]) -> Columns:
        return self

    def with_format(self, _: str) -> Columns:
        return self

    def __getitem__(self, key: Any) -> Any:
        return np.array([row[key] for row in self._rows]) if isinstance(key, str) else self._rows[key]


class Recording:
    """A LeRobotDataset of two episodes, the second of an arm that stands at six places, and moves between them."""

    def __init__(self, repo_id: str, root: Path) -> None:
        places = np.array([[-50, 0], [50, 0], [50, 90], [-50, 90], [0, 45], [0, 10]], float)
        moves = [np.linspace(a, b, 4)[1:-1] for a, b in itertools.pairwise(places)]
        parts = [np.repeat(places[:1], STANDS, axis=0)]
        for move, place in zip(moves, places[1:], strict=True):
            parts += [move, np.repeat(place[None], STANDS, axis=0)]
        states = np.concatenate([np.zeros((3, 2)), *parts])
        episodes = np.repeat([0, 1], [3, len(states) - 3])
        rows = [{"observation.state": s, "episode_index": e} for s, e in zip(states, episodes, strict=True)]
        self.hf_dataset = Columns(rows)
        features = {"observation.state": {"names": NAMES}}
        self.meta = SimpleNamespace(camera_keys=["observation.images.front"], features=features)

    def __getitem__(self, row: int) -> dict[str, Any]:
        # Red tells the row.
        picture = np.zeros((3, 6, 8), np.float32)
        picture[0] = row / 255.0
        return {"observation.images.front": picture}


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "dataset_class", lambda: Recording)
    (tmp_path / "data" / "meta").mkdir(parents=True)
    (tmp_path / "data" / "meta" / "info.json").write_text("{}")
    return tmp_path / "data"


def test_pictures_are_of_poses_that_differ_and_of_the_rows_of_their_positions(dataset: Path, tmp_path: Path) -> None:
    """Each place once, none of them on the way, and the picture is that of the row whose positions stand beside it."""
    write_poses(Recorded(dataset=dataset, episode=1), tmp_path / "out")
    table = PosesFile.model_validate(yaml.safe_load((tmp_path / "out" / "poses.yaml").read_text()))
    assert table.unit == "lerobot"
    found = {tuple(item.joint_pos.values()) for item in table.pictures if item.joint_pos}
    assert found == {(-50, 0), (50, 0), (50, 90), (-50, 90), (0, 45), (0, 10)}
    states = Recording("", dataset).hf_dataset["observation.state"]
    for item in table.pictures:
        picture = cv2.imread(str(tmp_path / "out" / item.file))
        assert picture is not None
        assert item.joint_pos == dict(zip(NAMES, states[picture[0, 0, 2]].tolist(), strict=True))


def test_what_is_not_there_is_named(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An episode, a camera, one of several, poses that do not differ: each with what there is, and nothing is made."""
    out = tmp_path / "out"
    for changes, says in (
        ({"episode": 7}, r"has no episode 7; it has 2, counted from 0 \(--episode\)"),
        ({"episode": 1, "camera": "frnt"}, "has no camera 'frnt'; did you mean 'front'.* name one with --camera"),
        ({"episode": 0}, r"stands still in 1 poses that differ; 5 are the least. Name another episode \(--episode\)"),
    ):
        with pytest.raises(CameraError, match=says):
            write_poses(Recorded(dataset=dataset, **changes), out)
    write_poses(Recorded(dataset=dataset, episode=1, camera="front"), tmp_path / "obeyed")
    assert not out.exists()
    assert len(apart(np.zeros((20, 3)), 9)) == 1
    words = ["camera", "solve", str(dataset), "--robot", "so100", "--fov", "50", "--out", str(tmp_path / "view.yaml")]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 2
    assert "give --through" in told.output
    monkeypatch.setattr(module, "is_dataset", lambda _: False)
    told = CliRunner().invoke(app, [*words, "--episode", "1"])
    assert told.exit_code == 2
    assert "--episode is for a LeRobotDataset" in told.output
