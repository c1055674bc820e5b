"""An arm in front of its camera, aligned by hand: on an emulated arm whose camera stands elsewhere than it says."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import yaml

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
pytest.importorskip("mani_skill", reason="ManiSkill, which ships the robot description, is not installed")
pytest.importorskip("aiohttp", reason="aiohttp is not installed")

import policy_port.camera.page as pages
from policy_port.camera.env_file import EnvFile, LookAt, load_env_file
from policy_port.camera.links import Arm, Links
from policy_port.camera.page import Page
from policy_port.camera.stills import read_still
from policy_port.errors import PolicyPortError, RobotError
from policy_port.robots.arm.emulated import Rehearsal, emulate
from policy_port.robots.arm.robot_file import CameraBounds, RobotFile
from policy_port.robots.arm.session import ArmSession
from policy_port.robots.arm.stops import RunEnd
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.emulator.lens import Outlook
from policy_port.robots.jobs import align_job
from policy_port.robots.jobs.align_job import POSES, Aligned, AlignJob, ended
from policy_port.robots.jobs.pictures import whole_frames
from tests.camera.chromium import chromium, need_chromium
from tests.robots.unhurried import unhurried

ENV = {
    "env": "SO100GraspCube-v1",
    "camera": {"pos": [0.75, 0.0, 0.35], "target": [0.25, 0.0, 0.05], "fov": 0.7},
    "image": {"size": [64, 64]},
}
CAMERA = CameraBounds(source=0, width=160, height=120, fps=10)
PATIENCE = 40.0


class Alignment:
    """An emulated arm, its files, and what a person does meanwhile on a thread of its own."""

    def __init__(self, rehearsal: Rehearsal, clock: VirtualClock, path: Path) -> None:
        self.rehearsal, self.clock, self.path = rehearsal, clock, path
        self.robot = rehearsal.robot

    def run(self, page: Page, person: Callable[[], None]) -> RunEnd:
        given = load_env_file(self.path)
        env = whole_frames(given, self.robot)
        what = Aligned(
            robot=self.robot,
            drawn=self.robot.described,
            env=env,
            given=given,
            path=self.path,
            snapshots=self.path.with_name("snapshots"),
        )
        job = self.job = AlignJob(what, page, self.rehearsal.let_go, self.clock)
        failures: list[BaseException] = []

        def act() -> None:
            try:
                person()
            except BaseException as failure:
                failures.append(failure)
                job._failure = failure

        thread = threading.Thread(target=act)
        thread.start()
        end = job.run()
        thread.join()
        if failures:
            raise failures[0]
        return end


@contextlib.contextmanager
def alignment(tmp_path: Path, **changes: Any) -> Iterator[Alignment]:
    path = tmp_path / "env.yaml"
    EnvFile.model_validate(ENV).write(path)
    robot = unhurried(cameras={"base_camera": CAMERA}, **changes)
    hidden = replace(whole_frames(load_env_file(path), robot).frame_view().moved((0.03, 0.0, 0.02)))
    clock = VirtualClock()
    with emulate(robot, clock=clock, outlook=Outlook(views={"base_camera": hidden})) as rehearsal:
        yield Alignment(rehearsal, clock, path)


class NoPage:
    """A page without a browser: what it is told, and what it wishes."""

    def __init__(self) -> None:
        self.wishes: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.gone, self.state, self.picture = False, {}, None

    def show(self, picture: np.ndarray) -> None:
        self.picture = picture

    def tell(self, state: dict[str, Any]) -> None:
        self.state = self.state | state

    def wish(self, do: str, **more: Any) -> None:
        self.wishes.put({"do": do, **more})

    def wait(self, key: str, fits: Callable[[Any], bool]) -> Any:
        end = time.monotonic() + PATIENCE
        while not fits(self.state.get(key)):
            assert time.monotonic() < end, f"{key} is {self.state.get(key)}"
            time.sleep(0.02)
        return self.state[key]


def torque_free(there: Alignment) -> bool:
    return not any(servo.torque for servo in there.rehearsal.arm.servos)


@pytest.mark.slow
def test_the_page_in_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens, shows a moving picture, a key changes the fov, saving writes; closed, the arm rests without torque."""
    need_chromium()
    monkeypatch.setattr(pages, "GRACE", 0.3)
    pixels = (
        "(() => {const c = document.createElement('canvas'), i = document.querySelector('#picture'); c.width = 64;"
        "c.height = 48; c.getContext('2d').drawImage(i, 0, 0, 64, 48);"
        "return c.getContext('2d').getImageData(0, 0, 64, 48).data.join()})()"
    )
    html = Path(pages.__file__).with_name("align.html")
    with alignment(tmp_path) as there, contextlib.closing(Page(html)) as page:

        def person() -> None:
            with chromium(page.address, tmp_path / "profile") as tab:
                tab.wait("document.querySelector('#field-fov')?.value")
                tab.wait("document.querySelector('#picture').naturalWidth")
                first = tab.value(pixels)
                tab.wait(f"({pixels}) !== '{first}'")
                assert "pictures per second" in tab.value("document.querySelector('#rate').textContent")
                fov = float(tab.value("document.querySelector('#field-fov').value"))
                tab.press("x")
                tab.wait(f"Math.abs(document.querySelector('#field-fov').value - {fov + 0.5}) < 0.02")
                tab.value("document.querySelector('#save').click()")
                tab.wait("document.querySelector('#said').textContent.startsWith('saved')")
                assert torque_free(there)
                tab.value("document.querySelector('#torque').click(); document.querySelector('#yes').click()")
                tab.wait("!document.querySelector('#poses button').disabled")
                tab.value("document.querySelector('#poses button').click()")
                end = time.monotonic() + PATIENCE
                while len(there.rehearsal.arm.goals()) < 100:
                    assert time.monotonic() < end
                    time.sleep(0.02)
                tab.close()

        end = there.run(page, person)
        assert ended(end) in ("the page was closed", "stopped by the page")
        assert end.arm.at_rest
        assert torque_free(there)
        saved = load_env_file(there.path).camera
        assert isinstance(saved, LookAt)
        assert saved.fov == pytest.approx(0.7 + np.radians(0.5))
        assert there.rehearsal.arm.goals()


def test_a_person_who_fails_ends_the_test(tmp_path: Path) -> None:
    """A page that nobody opens would be waited for without an end."""

    def person() -> None:
        raise AssertionError("no browser")

    html = Path(pages.__file__).with_name("align.html")
    with alignment(tmp_path) as there, contextlib.closing(Page(html)) as page:
        with pytest.raises(AssertionError, match="no browser"):
            there.run(page, person)
        assert torque_free(there)


def test_the_arm_is_led_stopped_and_looked_after(tmp_path: Path) -> None:
    """No torque until asked for twice over; led to a pose, stopped on its way, at rest, and again without torque."""
    with alignment(tmp_path) as there:
        page = NoPage()

        def person() -> None:
            page.wait("title", bool)
            page.wish("pose", name="raised")
            page.wish("torque")
            page.wish("snapshot")
            page.wait("said", lambda said: said and said.startswith("wrote"))
            assert not there.rehearsal.arm.torque_commands() or torque_free(there)
            page.wish("torque", sure=True)
            page.wait("torque", bool)
            page.wish("pose", name="nowhere")
            page.wish("pose", name="raised")
            wanted, end = dict(zip(there.robot.joint_names, POSES["raised"], strict=True)), time.monotonic() + PATIENCE
            while any(abs(at - wanted[name]) > 0.15 for name, at in there.rehearsal.arm.angles().items()):
                assert time.monotonic() < end
                time.sleep(0.02)
            page.wish("rest")
            page.wait("said", lambda said: said and "at rest" in said)
            page.wait("arm", lambda arm: arm.startswith("torque off"))
            assert torque_free(there)
            page.gone = True

        end = there.run(cast(Page, page), person)
        assert (ended(end), end.arm.at_rest, end.exit_code) == ("the page was closed", True, 0)
        assert "page was closed" in page.state["ended"]
        assert (tmp_path / "snapshots" / "picture_00.png").exists()
        assert page.picture is not None


def test_no_pose_strains_the_gripper() -> None:
    """From rest, from pose to pose, and to rest from a gripper wide open, at the speed that is shipped."""
    clock, robot = VirtualClock(), unhurried(approach_speed=0.5)
    with emulate(robot, clock=clock) as rehearsal:
        console = align_job.PageConsole()
        with ArmSession(rehearsal.robot, align_job.CONTROL_DT, console, rehearsal.let_go, clock) as session:
            session.open()
            session.warn()
            session.power()
            for name, pose in POSES.items():
                session.lead(np.array([robot.pose("rest")]))
                session.lead(np.array([pose]))
                assert np.abs(session.arm.angles - pose).max() < 0.1, name
            # From where the end leads the arm to rest, its gripper 2 rad away.
            session.lead(np.array([[*POSES["low"][:-1], robot.joints["gripper"].upper]]))
        found = rehearsal.arm.angles()
        away = {name: abs(found[name] - at) for name, at in zip(robot.joint_names, robot.pose("rest"), strict=True)}
        assert max(away.values()) < 0.1, away


def test_a_snapshot_is_taken_after_it_was_asked_for(tmp_path: Path) -> None:
    """The camera is slow: what it showed when it was asked is the arm before it was moved, and is not kept."""
    with alignment(tmp_path) as there:
        page, arm = NoPage(), there.rehearsal.arm

        def person() -> None:
            page.wait("rate", lambda rate: rate and "pictures per second" in rate)
            arm.inject("slow-camera:base_camera:0.6")
            time.sleep(1.5)
            for number, push in enumerate((0, 700, 700)):
                arm.inject(f"push:shoulder_pan:{push}")
                # Once the arm is measured there, its picture of before is still the latest one.
                wanted = arm.angles()["shoulder_pan"]
                job = there.job
                end = time.monotonic() + PATIENCE
                while abs(job._session.arm.angles[0] - wanted) > 0.01:  # type: ignore[union-attr]
                    assert time.monotonic() < end
                    time.sleep(0.005)
                page.wish("snapshot")
                page.wait("said", lambda said, at=number: said and f"picture_{at:02d}" in said)
            page.gone = True

        assert there.run(cast(Page, page), person).arm.at_rest
        table = yaml.safe_load((tmp_path / "snapshots" / "poses.yaml").read_text())["pictures"]
        pictures = [read_still(tmp_path / "snapshots" / row["file"]).astype(int) for row in table]
        pans = [row["joint_pos"]["shoulder_pan"] for row in table]
        assert min(abs(np.diff(pans))) > 0.5
        # An arm elsewhere is another picture; the same one twice differs by its noise alone.
        for one, other in itertools.pairwise(pictures):
            assert (np.abs(one - other).max(axis=-1) > 40).mean() > 0.01


def test_the_page_stops_the_arm_on_its_way(tmp_path: Path) -> None:
    """Asked for rest in the middle of a way, the arm does not go on; it is led to rest, and opened again."""
    with alignment(tmp_path) as there:
        page, arm, wished = NoPage(), there.rehearsal.arm, threading.Event()

        def stop_half_way() -> None:
            session = there.job._session
            if session is not None and not wished.is_set() and session.supervisor.sent[1] > -1.3:
                wished.set()
                page.wish("rest")
                end = time.monotonic() + PATIENCE
                while session.signals.received is None:
                    assert time.monotonic() < end
                    time.sleep(0.01)

        def person() -> None:
            page.wait("title", bool)
            page.wish("torque", sure=True)
            page.wait("torque", bool)
            there.clock.follow(stop_half_way)
            page.wish("pose", name="forwards")
            page.wait("said", lambda said: said and "at rest" in said)
            there.clock.leave(stop_half_way)
            page.wait("arm", lambda text: text.startswith("torque off"))
            page.gone = True

        end = there.run(cast(Page, page), person)
        assert (ended(end), end.arm.at_rest) == ("the page was closed", True)
        ticks = np.array([write.value for write in arm.goals("shoulder_lift")])
        way = np.abs(ticks - ticks[0]).max() * 2.0 * np.pi / 4096
        assert 0.2 < way < 0.6 * (POSES["forwards"][1] - there.robot.joints["shoulder_lift"].rest)
        assert torque_free(there)


def test_a_camera_that_stalls_says_so_and_the_pictures_go_on(tmp_path: Path) -> None:
    """Stalled or frozen, the page says what and for how long, and no snapshot is taken of what was; then it goes on."""
    timing = {"stale_frame": 1.0}
    with alignment(tmp_path, timing=timing) as there:
        page = NoPage()

        def person() -> None:
            page.wait("rate", lambda rate: rate and "pictures per second" in rate)
            there.rehearsal.arm.inject("stall-camera")
            page.wait("notice", bool)
            page.wish("snapshot")
            page.wait("said", lambda said: said and "shows nothing new" in said)
            there.rehearsal.arm.clear()
            page.wait("notice", lambda notice: not notice)
            page.gone = True

        assert there.run(cast(Page, page), person).arm.at_rest
        assert not (tmp_path / "snapshots").exists()


def test_files_that_do_not_go_together_are_refused() -> None:
    """No camera in either file, another name, another size, nobody says how large the picture is: refused by name."""
    arm = unhurried(cameras={"base_camera": CAMERA})
    env = EnvFile.model_validate(ENV)
    without = EnvFile.model_validate({key: ENV[key] for key in ("env", "image")})
    sized = EnvFile.model_validate(ENV | {"image": {"size": [64, 64], "camera_size": [480, 640]}})
    cropped = CAMERA.model_copy(update={"crop": (0, 0, 120, 120)})
    for given, robot, says in (
        (env, unhurried(), "has no camera 'base_camera'; it has none. Write into it: cameras: {base_camera: "),
        (env, unhurried(cameras={"base_camra": CAMERA}), "did you mean 'base_camra'"),
        (without, arm, "has no camera: write pos, target and fov"),
        (sized, arm, "gives 160x120, the environment file's image.camera_size says 640x480"),
        (EnvFile.model_validate({"env": "Own-v1", "camera": ENV["camera"]}), arm, "how large"),
        (env, unhurried(cameras={"base_camera": cropped}), "is cropped in the robot file and by the environment file"),
    ):
        with pytest.raises(PolicyPortError, match=says):
            whole_frames(given, robot)
    assert whole_frames(env, arm).spec().crop == (0, 20, 120, 120)


def test_the_poses_are_within_limits_and_clear_of_the_table() -> None:
    """Each pose, and each straight way between two of them and to rest, keeps every link above the table."""
    robot: RobotFile = unhurried()
    names = robot.joint_names
    rest = np.array(robot.pose("rest"))
    poses = [rest, *map(np.array, POSES.values())]
    for pose in poses:
        assert all(robot.joints[n].lower <= q <= robot.joints[n].upper for n, q in zip(names, pose, strict=True))
    links = Links(Arm.load(robot.name), 1500)
    shoulder = [links.arm.model.body(name).id for name in ("Base", "Rotation_Pitch")]
    moving = ~np.isin(links.body, shoulder)
    lowest = np.inf
    for one, other in itertools.combinations(poses, 2):
        for share in np.linspace(0.0, 1.0, 8):
            points = links.posed(dict(zip(names, (one + share * (other - one)).tolist(), strict=True)))
            lowest = min(lowest, float(points[moving, 2].min()))
    assert lowest > 0.025, lowest


def test_a_port_that_is_not_there_is_an_error_before_anything_is_shown(tmp_path: Path) -> None:
    """An arm that can't be reached is told, as every command tells it, and the page's pictures end."""
    path = tmp_path / "env.yaml"
    EnvFile.model_validate(ENV).write(path)
    robot = unhurried(cameras={"base_camera": CAMERA}, port="/dev/none", calibration_dir=tmp_path)
    env = whole_frames(load_env_file(path), robot)
    with pytest.raises(RobotError, match="calibration"):
        AlignJob(
            Aligned(robot=robot, drawn=robot.described, env=env, given=env, path=path, snapshots=tmp_path),
            cast(Page, NoPage()),
        ).run()
