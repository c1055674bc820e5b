"""A calibration file that is none is named in one sentence, whoever reads it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.cli.app import app
from policy_port.resources import assets_dir
from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION

GOOD = {name: dataclasses.asdict(servo) for name, servo in DEFAULT_CALIBRATION.items()}
BEFORE_JUNE_2025 = {
    "homing_offset": [-2145, 4, -1401, -3126, 2970, -1769],
    "drive_mode": [0, 1, 0, 0, 1, 0],
    "start_pos": [2085, 56, 1285, 3237, 3080, 1983],
    "end_pos": [3169, 1020, 2425, 4150, -1946, 2793],
    "calib_mode": ["DEGREE", "DEGREE", "DEGREE", "DEGREE", "DEGREE", "LINEAR"],
    "motor_names": list(GOOD),
}


def changed(**keys: Any) -> str:
    return json.dumps(GOOD | {"elbow_flex": GOOD["elbow_flex"] | keys})


def without(name: str, key: str | None = None) -> str:
    kept = {motor: dict(entry) for motor, entry in GOOD.items()}
    if key is None:
        del kept[name]
    else:
        del kept[name][key]
    return json.dumps(kept)


FILES = {
    "of before June 2025": json.dumps(BEFORE_JUNE_2025),
    "truncated": json.dumps(GOOD)[:200],
    "empty": "",
    "no JSON": "homing_offset: 1",
    "a list": "[1, 2]",
    "null": "null",
    "a number": "12",
    "an empty object": "{}",
    "a word for a number": changed(range_min="12a"),
    "a fraction": changed(range_min=12.5),
    "a truth value": changed(range_min=True),
    "NaN": changed(range_min=float("nan")),
    "null for a number": changed(range_min=None),
    "a list for a number": changed(range_min=[1]),
    "a huge number": changed(range_min=10**30),
    "no sweep": changed(range_min=3120),
    "a sweep turned over": changed(range_min=3120, range_max=860),
    "beyond the encoder": changed(range_max=4096),
    "an offset that no servo takes": changed(homing_offset=3000),
    "another id": changed(id=9),
    "a strange drive mode": changed(drive_mode=2),
    "a foreign key": changed(note=1),
    "a missing key": without("gripper", "range_max"),
    "a missing motor": without("gripper"),
    "a foreign motor": json.dumps(GOOD | {"neck": GOOD["gripper"]}),
    "binary": "\0\1\2",
    "nested": "[" * 100_000,
}


PLAYED = ("of before June 2025", "empty", "an offset that no servo takes")


def arm_file(folder: Path, port: str = "/dev/null") -> Path:
    text = (assets_dir() / "robots" / "so100.yaml").read_text(encoding="utf-8")
    file = folder / "arm.yaml"
    lines = (
        ("port: null", f"port: {port}"),
        ("calibration_dir: null", "calibration_dir: cal"),
        ("id: so100", "id: my_arm"),
    )
    for old, new in lines:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
    (folder / "cal").mkdir()
    return file


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 2, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit), result.exception
    return " ".join(result.output.split())


@pytest.mark.parametrize("text", FILES.values(), ids=FILES.keys())
def test_a_file_that_lerobot_cant_use_is_one_message(tmp_path: Path, text: str, request: pytest.FixtureRequest) -> None:
    """`robot check`, `play --real`: exit status 2, the file, what is wrong, what to do."""
    file = arm_file(tmp_path)
    calibration = tmp_path / "cal" / "my_arm.json"
    calibration.write_text(text)
    run = ["--continuous", "--out", str(tmp_path / "run")]
    play = ["play", "so100-reach", "--real", "--robot", str(file), *run]
    # Both have it read by the same function; what a file has wrong comes to both alike.
    for words in (["robot", "check", "--robot", str(file)], *([play] if request.node.callspec.id in PLAYED else [])):
        message = refused(*words)
        assert f"{calibration}: holds no calibration of all six motors" in message
        assert "lerobot-calibrate --robot.type=so100_follower --robot.port=PORT --robot.id=my_arm" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", [json.dumps(BEFORE_JUNE_2025), "", "[1]", changed(range_min="12a")])
def test_rehearsals_and_the_emulator_say_it_too(tmp_path: Path, text: str) -> None:
    """`--emulated` takes the arm's own calibration, and `emulate --calibration` any file."""
    file = arm_file(tmp_path)
    calibration = tmp_path / "cal" / "my_arm.json"
    calibration.write_text(text)
    assert str(calibration) in refused("robot", "check", "--robot", str(file), "--emulated")
    assert str(calibration) in refused("emulate", "so100", "--calibration", str(calibration))


def test_a_calibration_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    """What the system says of files is one message as well."""
    file = arm_file(tmp_path)
    (tmp_path / "cal").rmdir()
    (tmp_path / "cal").touch()
    assert "there is no such file" in refused("robot", "check", "--robot", str(file))
