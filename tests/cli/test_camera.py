"""`policy-port camera background` and `check`: options, files and what is said; the arm's pictures are drawn."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.camera.stills import Frame, read_still, write_still
from policy_port.camera.view import view_fields
from policy_port.cli.app import app
from policy_port.robots.arm.emulated import emulate
from policy_port.robots.arm.robot_file import find_robot_file, load_robot_file
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.jobs import looking
from policy_port.robots.jobs.looking import ArmSeen, look_at_arm
from tests.camera.setups import POSE, VIEW, drawn, frames, twin

CAMERAS = "cameras: {base_camera: {source: 0, width: 320, height: 240, fps: 5, crop: [0, 40, 240, 240]}}\n"


def said(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["camera", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, " ".join(done.output.split())


def refused(says: str, *arguments: str | Path) -> None:
    code, text = said(*arguments)
    assert code == 2
    assert re.search(says, text), text


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: VirtualClock) -> Path:
    """A robot file, an environment file and a view, and frames in place of a camera's."""
    robot = re.sub(r"^cameras: .*\n", CAMERAS, Path(find_robot_file("so100")).read_text(), flags=re.M)
    (tmp_path / "arm.yaml").write_text(robot)
    document = {"camera": view_fields(VIEW), "image": {"size": [48, 48], "camera_size": [240, 320]}}
    (tmp_path / "env.yaml").write_text(yaml.safe_dump({"env": "PolicyPortSO100Reach-v1"} | document))
    (tmp_path / "view.yaml").write_text(yaml.safe_dump(view_fields(VIEW)))
    shows(monkeypatch, drawn().rgb)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shows(monkeypatch: pytest.MonkeyPatch, image: np.ndarray) -> None:
    """Let the camera show something."""

    def look(robot: object, camera: str, count: int) -> ArmSeen:
        taken = frames(image, count=count)
        return ArmSeen(tuple(taken), POSE, taken[-1].stamp)

    monkeypatch.setattr(looking, "look_at_arm", look)


def test_a_check_from_storing_to_accepting(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what is stored it asks for `camera check --store`; then a mirrored picture is refused, or accepted."""
    given = "check", "--config", "env.yaml", "--robot", "arm.yaml"
    code, text = said(*given)
    assert (code, "camera 'base_camera' is as its view says" in text) == (0, True)
    assert "env.check.yaml is not there" in text
    assert "`policy-port camera check --store` writes it while all is right" in text
    assert said(*given, "--store")[0] == 0
    assert (desk / "env.check.yaml").is_file()
    assert "is not there" not in said(*given)[1]
    shows(monkeypatch, np.ascontiguousarray(drawn().rgb[:, ::-1]))
    refused(r"mirrored: left and right.*go on with --accept mirrored", *given)
    code, text = said(*given, "--accept", "mirrored")
    assert (code, "accepted: mirrored" in text) == (0, True)
    stored = (desk / "env.check.yaml").read_bytes()
    refused("nothing was stored: mirrored", *given, "--store")
    assert (desk / "env.check.yaml").read_bytes() == stored
    assert said("check", "--robot", "arm.yaml")[0] == 2
    assert "give one of --config and --view" in said("check", "--robot", "arm.yaml")[1]
    monkeypatch.setattr(looking, "look_at_arm", look_at_arm)
    refused(
        "robot file has no camera 'front'", "check", "--view", "view.yaml", "--robot", "arm.yaml", "--camera", "front"
    )


def test_a_background_from_an_arm_and_from_stills(desk: Path) -> None:
    """--robot warns of the arm and --inpaint fills it in; --source takes stills; --force replaces what is there."""
    given = "background", "--config", "env.yaml", "--out", "bg.png", "--no-compare"
    assert "give one of --robot and --source" in said(*given)[1]
    assert "--emulated goes with --robot" in said(*given, "--source", "0", "--emulated")[1]
    plain = yaml.safe_dump({"env": "PolicyPortSO100Reach-v1", "image": {"size": [48, 48], "camera_size": [240, 320]}})
    (desk / "plain.yaml").write_text(plain)
    blind = "--config", "plain.yaml", "--robot", "arm.yaml", "--emulated", "--emulated-view", "view.yaml"
    refused("goes with a camera in the environment file", "background", *blind, "--out", "bg.png")
    code, text = said(*given, "--robot", "arm.yaml")
    assert (code, "take it out of the picture, or --inpaint" in text) == (0, True)
    assert read_still(desk / "bg.png").shape == (48, 48, 3)
    refused("exists already; --force replaces it", *given, "--robot", "arm.yaml")
    code, text = said(*given, "--robot", "arm.yaml", "--inpaint", "--force")
    assert (code, "was filled in" in text) == (0, True)
    (desk / "stills").mkdir()
    for index in range(3):
        write_still(desk / "stills" / f"{index}.png", np.full((240, 320, 3), 90 + index, np.uint8))
    (desk / "one").mkdir()
    write_still(desk / "one" / "0.png", read_still(desk / "stills" / "0.png"))
    before = (desk / "bg.png").read_bytes()
    refused("single picture, which still holds the arm.*several stills", *given, "--source", "one", "--force")
    assert (desk / "bg.png").read_bytes() == before
    code, text = said(*given, "--source", "stills", "--force")
    assert (code, "that takes --robot and a camera's view" in text) == (0, True)
    assert read_still(desk / "bg.png").mean() == 91
    refused(r"takes --robot and an environment file", *given, "--source", "stills", "--force", "--inpaint")
    assert "--whole goes without --inpaint" in said(*given, "--source", "stills", "--force", "--inpaint", "--whole")[1]
    code, text = said(*given, "--source", "stills", "--force", "--whole")
    assert (code, "the background that camera solve takes" in text) == (0, True)
    assert read_still(desk / "bg.png").shape == (240, 320, 3)


def test_an_environment_is_named_once(desk: Path) -> None:
    """--env and the environment file contradict each other; resets need one of --env and --config."""
    refused("leave --env out", "resets", "--config", "env.yaml", "--env", "Other-v1", "--out", "a.mp4")
    assert "give --env, --config, or both" in said("resets", "--out", "a.mp4")[1]
    assert "--out a.avi: the video's name ends in .mp4" in said("resets", "--env", "A", "--out", "a.avi")[1]
    refused("no camera images.*SO100GraspCube-v1", "resets", "--env", "PolicyPortSO100Reach-v1", "--out", "a.mp4")
    assert not list(desk.glob("*.mp4"))


def test_an_emulated_camera_is_right_where_its_view_says(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --emulated it shows the arm from there: stored, checked, and its background has the arm in it."""
    monkeypatch.setattr(looking, "look_at_arm", look_at_arm)
    given = "--config", "env.yaml", "--robot", "arm.yaml", "--emulated"
    code, text = said("check", *given, "--store")
    assert code == 0, text
    # A machine that is busy draws late.
    code, text = said("check", *given, "--accept", "rate", "--accept", "age")
    assert (code, "is as its view says" in text or "accepted" in text) == (0, True), text
    code, text = said("background", *given, "--out", "bg.png", "--no-compare", "--frames", "3")
    assert (code, "the arm covers" in text) == (0, True), text


def test_an_emulated_camera_stands_where_it_is_told_to(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hidden view is one for check and background; with --fault the check tells it, and bare-camera has no arm."""
    monkeypatch.setattr(looking, "look_at_arm", look_at_arm)
    hidden = VIEW.moved(0.05 * VIEW.matrix[:, 1])
    (desk / "hidden.yaml").write_text(yaml.safe_dump(view_fields(hidden)))
    given = "--config", "env.yaml", "--robot", "arm.yaml", "--emulated"
    busy = "--accept", "rate", "--accept", "age"
    refused("moved: the arm is", "check", *given, *busy, "--emulated-view", "hidden.yaml")
    refused("mirrored: left and right", "check", *given, *busy, "--fault", "mirror-camera")
    whole = "background", *given, "--no-compare", "--frames", "3", "--whole", "--emulated-view", "hidden.yaml"
    assert said(*whole, "--out", "arm.png")[0] == 0
    code, text = said(*whole, "--out", "bare.png", "--fault", "bare-camera")
    assert (code, "the arm covers" in text) == (0, False), text
    there = np.abs(read_still(desk / "arm.png").astype(int) - read_still(desk / "bare.png")).max(axis=-1) > 40
    mask = twin().render(hidden, looked_at(desk)).mask
    assert (there & mask).sum() > 0.5 * mask.sum()
    assert (there & ~mask).sum() < 0.1 * mask.sum()


def looked_at(desk: Path) -> dict[str, float]:
    """Where an emulated arm rests, by joint."""
    robot = load_robot_file(desk / "arm.yaml")
    return dict(zip(robot.joint_names, robot.pose("rest"), strict=True))


def test_an_arm_is_looked_at_without_torque(desk: Path, clock: VirtualClock) -> None:
    """Whole frames of an emulated arm's camera, one after the other, with the joints as they are measured."""
    with emulate(load_robot_file("arm.yaml"), clock=clock) as rehearsal:
        seen = look_at_arm(rehearsal.robot, "base_camera", 3)
    assert [frame.image.shape for frame in seen.frames] == [(240, 320, 3)] * 3
    assert len({frame.stamp for frame in seen.frames}) == 3
    assert set(seen.joint_pos) == set(rehearsal.robot.joint_names)
    assert isinstance(seen.frames[0], Frame)
