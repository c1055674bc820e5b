"""`play` with a schedule, pushes and several ports: what is recorded, what is told, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.trace import Trace
from tests.samples import LEGS
from tests.taking_turns import write_ports


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ports, robot and schedule."""
    return write_ports(tmp_path_factory.mktemp("ports"))


def play(folder: Path, *words: Any, plant: str = "mujoco") -> Any:
    where = ("--plant", plant, "--robot", folder / "toy.xml", "--out", folder / "run", "--force")
    return CliRunner().invoke(app, ["play", *(str(word) for word in (*words, *where))])


@pytest.mark.parametrize("plant", ["mujoco", "maniskill", "newton"])
def test_a_schedule_is_played_and_recorded(folder: Path, plant: str) -> None:
    """Command, push and port stand in the trace at their times, the joints of both ports by name; the table tells how
    the robot took it.
    """
    pytest.importorskip({"maniskill": "sapien"}.get(plant, plant))
    done = play(folder, folder / "quick", folder / "stiff", "--schedule", folder / "show.yaml", plant=plant)
    assert done.exit_code == 0, done.output
    assert "command lin_vel_x = 0.5 is outside [-0.3, 0.3]" in done.stderr
    trace = Trace(folder / "run" / "trace.npz")
    assert len(trace["time"]) == 40
    assert np.allclose(trace["command"][[0, 9, 15, 20, 39], 0, 0], [0.1, 0.1, 0.3, 0.5, 0.5])
    assert np.allclose(trace["push"].sum(axis=0)[0] * 0.02, [0.0, 8.0, 0.0])
    assert np.flatnonzero(trace["push_link"][:, 0] == 0).tolist() == [5, 6]
    assert trace.header["push_links"] == ["torso"]
    assert [port["name"] for port in trace.header["ports"]] == ["quick", "stiff"]
    assert trace["port"][:, 0].tolist() == [0] * 20 + [1] * 10 + [0] * 10
    assert np.allclose(trace["port_weight"][20:27, 0], [0, 0.2, 0.4, 0.6, 0.8, 1, 1])
    ran = np.isfinite(trace["action"][:, 0, 4:]).all(axis=1)
    assert np.flatnonzero(ran).tolist() == list(range(20, 30))
    assert np.abs(np.diff(trace["target"][20:30, 0], axis=0)).max() <= 0.02 + 1e-6
    names = trace.header["action_names"]
    assert names[4] == f"stiff: {LEGS[3]}"
    # 8 N s on 10.4 kg that stand on the ground, whose friction takes about half of it.
    assert 0.1 < trace["base_lin_vel"][7, 0, 1] <= 8.0 / 10.4
    metrics = json.loads((folder / "run" / "metrics.json").read_text())["metrics"]
    assert (metrics["survival"], metrics["pushes_survived"]) == (0.8, 1)
    assert metrics["switch_1_jump_made"] <= 0.02 + 1e-6
    assert {"push_1_recovery", "push_1_largest_lean", "switch_2_jump"} <= metrics.keys()


def test_a_push_from_the_command_line_leaves_a_trace_that_verifies(folder: Path) -> None:
    """With one port, `verify` holds the trace against it although the robot was pushed and the command changed."""
    done = play(folder, folder / "quick", "--command", "0.2,0,0", "--push", "0.2 torso 0 1 0 base", "--seconds", 0.6)
    assert done.exit_code == 0, done.output
    assert "push 1 recovery" in done.output
    run = CliRunner().invoke(app, ["verify", str(folder / "quick"), "--trace", str(folder / "run" / "trace.npz")])
    assert run.exit_code == 0, run.output


def test_a_push_alone_says_too_little(folder: Path) -> None:
    """The message names what goes beside it, and each of that works: a command, a length, a schedule."""
    push = ("--push", "0.2 torso 0 1 0")
    refused = play(folder, folder / "quick", *push)
    assert refused.exit_code == 2
    told = " ".join(refused.output.split())
    assert "--push says when the robot is pushed, not what it does: give --command or --seconds beside it" in told
    for port, more in (("quick", ("--command", "0.2,0,0", "--seconds", 0.3)), ("idle", ("--seconds", 0.3))):
        assert play(folder, folder / port, *push, *more).exit_code == 0
    (folder / "push.yaml").write_text(
        "schedule_version: 1\nseconds: 0.3\ncommand:\n- {at: 0, to: {lin_vel_x: 0.1}}\n"
        "pushes:\n- {at: 0.2, link: torso, impulse: [0, 1, 0]}\n"
    )
    done = play(folder, folder / "quick", "--schedule", folder / "push.yaml")
    assert done.exit_code == 0, done.output


def test_a_trace_of_two_ports_is_no_evidence_about_one(folder: Path) -> None:
    """`verify` says whose trace it is."""
    done = play(folder, folder / "quick", folder / "stiff", "--schedule", folder / "show.yaml")
    assert done.exit_code == 0, done.output
    run = CliRunner().invoke(app, ["verify", str(folder / "quick"), "--trace", str(folder / "run" / "trace.npz")])
    assert run.exit_code == 2, run.output
    assert "quick, stiff take turns in it" in run.output


def test_nothing_of_a_view_is_imported_without_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay runs where viser can't be imported, and leaves nothing of the room of views in memory."""
    for name in [name for name in sys.modules if name.startswith("policy_port.live")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "viser", None)
    done = play(folder, folder / "idle", "--seconds", 0.1, "--push", "0 torso 1 0 0")
    assert done.exit_code == 0, done.output
    assert not [name for name in sys.modules if name.startswith("policy_port.live")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("quick", "stiff", "--command", "0,0,0"), "say when each plays with --schedule, or hand over by --view"),
        (("quick", "quick", "--schedule", "show.yaml"), "two ports are called 'quick'"),
        (("quick", "--schedule", "show.yaml"), "plays port 'stiff', and the ports given are quick"),
        (("quick", "stiff", "idle", "--schedule", "show.yaml"), "port idle never plays"),
        (("quick", "--schedule", "none.yaml"), "none.yaml"),
        (("quick", "--schedule", "toy.xml"), "toy.xml"),
        (("quick", "--push", "0.1 torso 0 1 0", "--seconds", "1"), "reads a command, and nobody gives it one"),
        (("idle", "--push", "0.1 torsoo 0 1 0", "--seconds", "1"), "did you mean 'torso'"),
        (("idle", "--push", "0.95 torso 0 1 0", "--seconds", "1"), "comes too late: an episode is 1 s long"),
        (("idle", "--push", "soon torso 0 1 0", "--seconds", "1"), "--push takes"),
        (("idle", "--push", "0.1 torso 0 1 0", "--push", "0.1 arm1 0 1 0", "--seconds", "1"), "begins before that"),
        (("idle", "--command", "0.2,0,0", "--push", "0 torso 1 0 0"), "'lin_vel_x', which no port reads"),
        (("quick", "--schedule", "endless.yaml"), "write `seconds` in it, or give --seconds"),
        (("quick", "--schedule", "height.yaml", "--seconds", "1"), "has an element 'base_height', which no port reads"),
        (("quick", "stiff", "--schedule", "show.yaml", "--num-envs", "2"), "2 ports take turns on one robot"),
        (("quick", "stiff", "--schedule", "show.yaml", "--motion", "x.csv"), "--motion goes with one port"),
        (("quick", "--push", "0 torso 1 0 0", "--task", "so100-reach"), "--push does not go with --task"),
        (("idle", "--view", "--view-port", "0", "--num-envs", "2"), "--view shows one robot"),
        (("idle", "--view", "mujoco", "--view-port", "0"), "go with --view in the browser"),
        (("idle", "--view-port", "0", "--seconds", "1"), "go with --view in the browser"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(
    folder: Path, words: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2, and the folder that was there before stays."""
    monkeypatch.chdir(folder)
    (folder / "endless.yaml").write_text("schedule_version: 1\ncommand: [{at: 0, to: {lin_vel_x: 0.1}}]\n")
    (folder / "height.yaml").write_text("schedule_version: 1\ncommand: [{at: 0, to: {base_height: 0.1}}]\n")
    done = play(folder, *words, "--out", folder / "refused")
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.output.replace("│", " ").split()), done.output
    assert not (folder / "refused").exists()


SHOW = ("quick", "stiff", "--schedule", "show.yaml")
ONE, PORTS = "schedule_version: 1\nseconds: 0.2\n", "ports: [{at: 0, port: quick}, {at: 0.1, port: stiff}]\n"
TOLD = "command: [{at: 0, to: {lin_vel_x: 0.1}}]\n"


def two(lasts: float) -> str:
    """Two pushes, the first of which lasts so long."""
    rest = "link: torso, impulse: [0, 1, 0], lasts"
    return f"pushes: [{{at: 0, {rest}: {lasts}}}, {{at: 0.1, {rest}: 0.02}}]\n"


@pytest.mark.parametrize(
    ("words", "text", "message", "mended", "better"),
    [
        (("quick", "stiff", "idle"), ONE + TOLD + PORTS, "port idle never plays: leave it out", ("quick", "stiff"), ""),
        (("quick", "stiff"), ONE + TOLD, "say in the file of --schedule when, under `ports`", (), ONE + TOLD + PORTS),
        (("quick",), ONE + two(0.02), "write `command` in the schedule, or --command VX,VY,WZ",
         ("quick", "--command", "0.1,0,0"), ""),
        (("quick",), ONE + two(0.02), "nobody gives it one: write `command`", (), ONE + TOLD + two(0.02)),
        (("quick",), TOLD.join(("schedule_version: 1\n", "")), "write `seconds` in it, or give --seconds",
         ("quick", "--seconds", "0.1"), ""),
        (("quick",), "schedule_version: 1\n" + TOLD, "write `seconds` in it, or give --seconds", (), ONE + TOLD),
        (("idle",), ONE + two(0.2), "move it, or shorten `lasts`", (), ONE + two(0.1)),
        (("idle", "--seconds", "0.1"), ONE + two(0.04), "give more --seconds, or `seconds` in the schedule",
         ("idle", "--seconds", "0.2"), ""),
        (("idle",), two(0.02), "schedule_version is missing; write schedule_version: 1", (),
         ONE + two(0.02)),
        (("quick", "stiff", "--num-envs", "2"), ONE + TOLD + PORTS, "leave out --num-envs", ("quick", "stiff"), ""),
        (("quick", "stiff", "--goal", "point=1"), ONE + TOLD + PORTS, "leave --goal point out", ("quick", "stiff"), ""),
        (("quick", "stiff"), ONE + TOLD + PORTS[:-2] + ", {at: 0.15, port: quick}]\n", "shorten `blend`", (),
         ONE + TOLD + PORTS.replace("stiff}", "stiff, blend: 0.05}, {at: 0.15, port: quick}")),
    ],
)  # fmt: skip
def test_a_remedy_that_is_named_works(
    folder: Path,
    words: tuple[str, ...],
    text: str,
    message: str,
    mended: tuple[str, ...],
    better: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the message says to write or to leave out is written or left out, and it plays."""
    monkeypatch.chdir(folder)
    (folder / "mistaken.yaml").write_text(text)
    done = play(folder, *words, "--schedule", "mistaken.yaml")
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.output.split()), done.output
    (folder / "mistaken.yaml").write_text(better or text)
    done = play(folder, *(mended or words), "--schedule", "mistaken.yaml")
    assert done.exit_code == 0, done.output


def coarser(folder: Path, name: str, timestep: float, decimation: int) -> str:
    """The port `stiff` as if it had been trained at other rates."""
    data = yaml.safe_load((folder / "stiff" / "contract.yaml").read_text())
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({**data, "timestep": timestep, "decimation": decimation}))
    made = ("stiff.onnx", "--contract", f"{name}.yaml", "--format", "onnx", "--out", name, "--force")
    assert CliRunner().invoke(app, ["export", *made]).exit_code == 0
    (folder / "two.yaml").write_text(ONE + TOLD + PORTS.replace("quick", name).replace("stiff", "quick"))
    return name


def test_ports_of_other_rates_take_turns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first port's timestep is played, unless --timestep says otherwise; the shortest control period is the
    loop's, also where the first port is the slower one; one that the timestep does not divide is refused.
    """
    monkeypatch.chdir(folder)
    name = coarser(folder, "coarse", 0.01, 2)
    done = play(folder, name, "quick", "--schedule", "two.yaml")
    assert done.exit_code == 0, done.output
    assert "which is played unless --timestep says otherwise" in done.stderr
    assert "0.01 s x 2" in done.output
    done = play(folder, name, "quick", "--schedule", "two.yaml", "--timestep", "0.0025")
    assert "0.0025 s x 8" in done.output
    name = coarser(folder, "slow", 0.005, 8)
    done = play(folder, name, "quick", "--schedule", "two.yaml")
    assert "0.005 s x 4 = 0.02 s" in done.output
    trace = Trace(folder / "run" / "trace.npz")
    assert np.allclose(np.diff(trace["time"][:, 0]), 0.02)
    acted = trace["action"][:5, 0, :4]
    assert np.array_equal(acted[0], acted[1])
    assert not np.array_equal(acted[1], acted[2])
    name = coarser(folder, "odd", 0.04, 1)
    done = play(folder, name, "quick", "--schedule", "two.yaml")
    assert done.exit_code == 2
    assert "does not divide the shortest control period of the ports, 0.02 s; give --timestep 0.005" in done.output
    assert play(folder, name, "quick", "--schedule", "two.yaml", "--timestep", "0.005").exit_code == 0


def test_a_view_that_cannot_be_opened_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without viser, and without a screen: the message says what there is instead, and nothing is written."""
    monkeypatch.setitem(sys.modules, "viser", None)
    done = play(folder, folder / "quick", "--view", "--seconds", 0.1, "--out", folder / "seen")
    assert (done.exit_code, "--view needs the Python package viser: pip install" in done.output) == (2, True)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    done = play(folder, folder / "quick", "--view", "mujoco", "--seconds", 0.1, "--out", folder / "seen")
    assert done.exit_code == 2, done.output
    assert "opens a window, and there is no screen here" in done.output
    assert "--view browser needs none" in done.output
    assert not (folder / "seen").exists()
