"""LeRobot's calibration file, and the calibration that the emulated arm comes with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from policy_port.errors import EmulatorError
from policy_port.files import write_atomic


@dataclass(frozen=True, kw_only=True)
class ServoCalibration:
    """What LeRobot's calibration says of one servo: it is written into the servo, and into the file."""

    id: int
    """Id on the bus."""
    drive_mode: int = 0
    """1 where LeRobot turns the sign of ranges given in percent."""
    homing_offset: int
    """Subtracted from the sensor's position [ticks]."""
    range_min: int
    """Least position of the sweep [ticks as read]."""
    range_max: int
    """Greatest position of the sweep [ticks as read]."""


Calibration = Mapping[str, ServoCalibration]

# As a person would calibrate an arm: the middle of each sweep is where LeRobot's zero is, and the sweeps reach a
# little beyond the robot description's limits. A roll joint turns without end, which LeRobot writes as 0..4095.
DEFAULT_CALIBRATION: Calibration = {
    "shoulder_pan": ServoCalibration(id=1, homing_offset=-120, range_min=735, range_max=3355),
    "shoulder_lift": ServoCalibration(id=2, homing_offset=310, range_min=870, range_max=3170),
    "elbow_flex": ServoCalibration(id=3, homing_offset=-45, range_min=860, range_max=3120),
    "wrist_flex": ServoCalibration(id=4, homing_offset=900, range_min=855, range_max=3235),
    "wrist_roll": ServoCalibration(id=5, homing_offset=-1000, range_min=0, range_max=4095),
    "gripper": ServoCalibration(id=6, homing_offset=77, range_min=2010, range_max=3490),
}


def read_calibration(path: Path | str) -> Calibration:
    """Read a file that LeRobot has written: `<calibration folder>/<id of the arm>.json`.

    Raises:
        EmulatorError: When it is missing or is no such file, naming the servo and what is wrong with it.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EmulatorError(f"{path}: no such file; LeRobot writes it when it calibrates an arm") from None
    except OSError as cause:
        raise EmulatorError(f"{path}: can't be read: {cause.strerror}") from cause
    except (ValueError, RecursionError) as cause:
        raise EmulatorError(f"{path}: is not JSON: {cause}") from None
    if not isinstance(data, dict) or not data:
        raise EmulatorError(f"{path}: holds no calibration, which is one entry per servo")
    keys = {field.name for field in fields(ServoCalibration)}
    calibration = {}
    for name, entry in data.items():
        if not isinstance(entry, dict) or set(entry) != keys or not all(type(entry[key]) is int for key in keys):
            raise EmulatorError(f"{path}: servo '{name}' needs whole numbers for {', '.join(sorted(keys))}")
        servo = calibration[name] = ServoCalibration(**entry)
        if not 0 <= servo.id < 0xFD or not 0 <= servo.range_min < servo.range_max <= 4095:
            raise EmulatorError(f"{path}: servo '{name}' has an id or a range that no STS3215 has: {entry}")
        if abs(servo.homing_offset) > 2047:
            raise EmulatorError(f"{path}: servo '{name}' has homing_offset {servo.homing_offset}; it is within +-2047")
    ids = [servo.id for servo in calibration.values()]
    if len(set(ids)) < len(ids):
        raise EmulatorError(f"{path}: two servos have the same id; ids: {ids}")
    return calibration


def write_calibration(path: Path | str, calibration: Calibration = DEFAULT_CALIBRATION) -> Path:
    """Write a calibration as LeRobot does.

    Args:
        path: The file. LeRobot looks for `<calibration_dir>/<id>.json`, and where no calibration_dir is given, for
            `<HF_LEROBOT_CALIBRATION>/robots/so_follower/<id>.json`. Missing folders are made.
        calibration: What to write.
    """
    target = Path(path).expanduser()
    target.parent.mkdir(parents=True, exist_ok=True)
    document = {name: asdict(servo) for name, servo in calibration.items()}
    write_atomic(target, json.dumps(document, indent=4))
    return target
