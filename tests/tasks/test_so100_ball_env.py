"""The reach task with a ball: what a policy sees of it, what differs between episodes, and what no option changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mani_skill", reason="mani_skill is not installed (extra: sim)")

from policy_port.errors import TaskError
from policy_port.replay.open_env import open_env
from policy_port.tasks.coarse_meshes import clustered, normals
from policy_port.tasks.picture_looks import read_background
from policy_port.tasks.reach import SO100_BALL
from policy_port.tasks.so100_ball_env import BALL_RADIUS, CAMERA, CAMERA_SETTINGS, ENV_ID, Randomisation

pytestmark = pytest.mark.filterwarnings("ignore")


def made(**options: Any) -> Any:
    shared = {"control_mode": None, "draws": True, "sim_backend": "physx_cpu", "obs_mode": "rgb"}
    return open_env(ENV_ID, **shared, **options).unwrapped


@pytest.fixture(scope="module")
def env() -> Iterator[Any]:
    """One environment in which nothing but ball and start differ."""
    opened = made(domain_randomization=False, base_camera_settings={"fov": 0.7})
    yield opened
    opened.close()


def shown(env: Any, seed: int) -> np.ndarray:
    return env.reset(seed=seed)[0]["sensor_data"][CAMERA]["rgb"][0].numpy().astype(int)


def test_the_ball_lies_under_the_goal_where_the_camera_shows_it(env: Any) -> None:
    """Projected by the camera's own matrices, the ball's place is where the picture is orange, and nowhere else."""
    for seed in (1, 2):
        picture = shown(env, seed)
        goal = SO100_BALL.episode(seed)[1]
        assert env.ball.pose.p[0].tolist() == pytest.approx([goal[0], goal[1], BALL_RADIUS], abs=1e-6)
        rows, columns = np.nonzero(picture[..., 0] - picture[..., 2] > 60)
        params = env._sensors[CAMERA].get_params()
        extrinsic, intrinsic = (np.array(params[name][0]) for name in ("extrinsic_cv", "intrinsic_cv"))
        at = intrinsic @ (extrinsic @ np.array([goal[0], goal[1], BALL_RADIUS, 1.0]))[:3]
        assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((at[0] / at[2], at[1] / at[2]), abs=1.0)
        assert np.ptp(rows) < 9
        assert np.ptp(columns) < 9


def test_only_the_picture_tells_where_the_ball_is(env: Any) -> None:
    """Beside its picture the environment shows joints and their targets; its state has the goal too."""
    observation = env.reset(seed=3)[0]
    assert {**observation["agent"], **observation["extra"]}.keys() == {"joint_pos", "joint_target"}


def test_what_is_drawn_follows_from_the_seed_and_can_be_left_out(env: Any) -> None:
    """The same seed is the same picture; randomised, camera and colours move within what is stated."""
    assert np.array_equal(shown(env, 4), shown(env, 4))
    eye = env._camera_mount.pose.p[0].clone()
    assert eye.tolist() == pytest.approx(CAMERA_SETTINGS["pos"])
    env.randomisation = Randomisation(camera_offset=0.03, table_colour=0.3)
    try:
        pictures = [shown(env, 4), shown(env, 5), shown(env, 4)]
        assert np.array_equal(pictures[0], pictures[2])
        assert abs(pictures[0][0, 0] - pictures[1][0, 0]).max() > 4
        moved = (env._camera_mount.pose.p[0] - eye).abs()
        assert 0.0 < moved.max() <= 0.03
    finally:
        env.randomisation = Randomisation(**dict.fromkeys(vars(Randomisation()), 0.0))


def test_looks_and_a_green_screen_change_what_lies_behind_and_not_where_the_ball_is(
    env: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pattern shades the table alone, a green screen replaces it, a gain changes everything."""
    plain = shown(env, 6)
    none = dict.fromkeys(vars(Randomisation()), 0.0)
    ball = plain[..., 0] - plain[..., 2] > 60
    monkeypatch.setattr(env, "randomisation", Randomisation(**none | {"pattern": 0.4}))
    patterned = shown(env, 6)
    behind = (patterned != plain).any(axis=-1)
    assert behind.mean() > 0.8
    assert not behind[ball].any()
    monkeypatch.setattr(env, "randomisation", Randomisation(**none | {"gain": 0.4}))
    ratio = (shown(env, 6) / np.maximum(plain, 1))[(plain.min(axis=-1) > 60) & (plain.max(axis=-1) < 170)]
    assert ratio == pytest.approx(np.full(ratio.shape, np.median(ratio)), abs=0.02)
    file = tmp_path / "green.png"
    green = np.full((64, 64, 3), (10, 200, 30), np.uint8)
    Image.fromarray(green).save(file)
    monkeypatch.setattr(env, "randomisation", Randomisation(**none))
    monkeypatch.setattr(env, "_background", read_background(file, (64, 64)))
    screened = shown(env, 6)
    assert (screened == green).all(axis=-1).mean() > 0.8
    assert (screened[ball, 0] > screened[ball, 2] + 60).all()
    with pytest.raises(TaskError, match="is 64x64, the camera's picture 32x24; make it with `policy-port camera backg"):
        read_background(file, (24, 32))
    with pytest.raises(TaskError, match="is no picture"):
        read_background(Path(__file__), (64, 64))


def test_without_a_renderer_it_has_its_physics() -> None:
    """Opened for its physics alone, as benchmarks/gpu.py does, it resets to the same ball and steps."""
    bare = open_env(ENV_ID, control_mode=None, draws=False, sim_backend="physx_cpu").unwrapped
    observation = bare.reset(seed=1)[0]
    assert bare.ball.pose.p[0, :2].tolist() == pytest.approx(SO100_BALL.episode(1)[1][:2].tolist(), abs=1e-6)
    assert bare.step(np.zeros(6, np.float32))[0].shape == observation.shape
    bare.close()


def test_settings_that_no_such_environment_has_are_refused() -> None:
    """A misspelt key of either table is named beside those that there are; a whole dataclass is taken as it is."""
    with pytest.raises(TaskError, match=r"base_camera_settings has no 'position'.* It has pos, target, fov"):
        made(base_camera_settings={"position": [0, 0, 1]})
    with pytest.raises(TaskError, match=r"domain_randomization_config has no 'lights'.*'light'"):
        made(domain_randomization_config={"lights": 0.1})


def test_coarse_meshes_keep_their_surface() -> None:
    """A sphere of 8,000 triangles, coarsened to cells of 2 cm, keeps its radius and looks outward."""
    trimesh = pytest.importorskip("trimesh")
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=0.1)
    vertices, triangles = clustered(sphere.vertices, sphere.faces, 0.02)
    assert len(triangles) < len(sphere.faces) / 4
    assert np.linalg.norm(vertices, axis=1) == pytest.approx(0.1, abs=0.005)
    outward = (normals(vertices, triangles) * vertices).sum(axis=1) / np.linalg.norm(vertices, axis=1)
    assert outward.min() > 0.8
    assert len(clustered(sphere.vertices + 0.5, sphere.faces, 1.0)[1]) == 0
