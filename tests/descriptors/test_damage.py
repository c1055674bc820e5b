"""Claims about damaged descriptors: each ends in a contract or in a message, soon, whatever was damaged."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from policy_port.errors import PolicyPortError
from tests.checkpoints.onnx import leapp_files
from tests.descriptors import (
    leapp_run,
    test_holosoma,
    test_isaac_lab,
    test_lerobot_config,
    test_newton_assets,
    test_onnx_metadata,
    test_rl_sar,
    test_unitree_rl_lab,
)
from tests.descriptors.importing import COMPLETE, contract, imported, linear_policy, write

TRIES = 80
PIECES = (
    b"-1",
    b"null",
    b"[]",
    b"{}",
    b"!!x ",
    b"*a",
    b"&a ",
    b"1e999",
    b".nan",
    b"x: y",
    b"\n",
    b"- ",
    b"'",
    b"9" * 20,
)


def newton_assets(path: Path) -> tuple[str, Callable[[Path], object]]:
    options = {"order": "mjw", "layout": "isaaclab_velocity", "settings": {"decimation": 4}}
    return yaml.safe_dump(test_newton_assets.asset()), lambda file: contract(file, **options)


def unitree_rl_lab(path: Path) -> tuple[str, Callable[[Path], object]]:
    names = write(path / "names.yaml", {"joint_names": test_unitree_rl_lab.POLICY})
    return yaml.safe_dump(test_unitree_rl_lab.deploy()), lambda file: contract(file, names=names, gains_order="motor")


def names_file(path: Path) -> tuple[str, Callable[[Path], object]]:
    deploy = write(path / "deploy.yaml", test_unitree_rl_lab.deploy())
    return yaml.safe_dump({"joint_names": test_unitree_rl_lab.POLICY}), lambda file: contract(
        deploy, names=file, gains_order="motor"
    )


def rl_sar(path: Path) -> tuple[str, Callable[[Path], object]]:
    base = write(path / "b/base.yaml", test_rl_sar.base())
    return yaml.safe_dump(test_rl_sar.config()), lambda file: contract(file, base)


def isaac_lab(path: Path) -> tuple[str, Callable[[Path], object]]:
    env = write(path / "e/env.yaml", test_isaac_lab.ENV)
    options = {"timestep": None, "actuation": None, "sizes": {"height_scan": 2}}
    return yaml.safe_dump(test_isaac_lab.descriptor()), lambda file: contract(file, env, **options)


def isaac_lab_env(path: Path) -> tuple[str, Callable[[Path], object]]:
    io = write(path / "i/io.yaml", test_isaac_lab.descriptor())
    options = {"timestep": None, "actuation": None, "sizes": {"height_scan": 2}}
    return test_isaac_lab.ENV, lambda file: contract(io, file, **options)


def lerobot_config(path: Path) -> tuple[str, Callable[[Path], object]]:
    names = write(path / "names.yaml", {"joint_names": ["pan", "lift", "gripper"]})
    complete = test_lerobot_config.COMPLETE
    return test_lerobot_config.config(), lambda file: imported(file, names=names, robot="x", **complete)


def onnx_metadata(path: Path) -> tuple[bytes, Callable[[Path], object]]:
    whole = linear_policy(path / "whole.onnx", 15, 2, test_onnx_metadata.METADATA).read_bytes()
    options = COMPLETE | {"layout": "mjlab_velocity", "settings": {"decimation": 4}}
    return whole, lambda file: imported(file, kind="onnx_metadata", **options)


def holosoma(path: Path) -> tuple[bytes, Callable[[Path], object]]:
    whole = test_holosoma.policy(path, experiment_config=test_holosoma.CONFIG).read_bytes()
    return whole, lambda file: imported(file, kind="holosoma", robot="toy")


def leapp(path: Path) -> tuple[str, Callable[[Path], object]]:
    whole = leapp_files.plain(path / "d")
    text = whole.read_text(encoding="utf-8")
    whole.unlink()
    return text, lambda file: imported(file, **leapp_run.GIVEN)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Cut `data` off, change some bytes, or put something odd into it."""
    bytes_ = bytearray(data)
    match rng.randrange(3):
        case 0:
            return data[: rng.randrange(len(data))]
        case 1:
            for _ in range(rng.randrange(1, 4)):
                bytes_[rng.randrange(len(bytes_))] = rng.randrange(256)
        case _:
            at = rng.randrange(len(bytes_))
            bytes_[at : at + rng.randrange(12)] = rng.choice(PIECES)
    return bytes(bytes_)


@pytest.mark.parametrize(
    "kind",
    [
        *(newton_assets, unitree_rl_lab, names_file, rl_sar, isaac_lab, isaac_lab_env, lerobot_config, onnx_metadata),
        *(holosoma, leapp),
    ],
    ids=lambda kind: kind.__name__,
)
def test_damage_is_a_message_and_never_a_crash(
    tmp_path: Path, kind: Callable[[Path], tuple[str | bytes, Callable[[Path], object]]]
) -> None:
    """Truncated, flipped and spliced files raise this program's own errors or none, and none takes seconds."""
    whole, read = kind(tmp_path)
    data = whole.encode() if isinstance(whole, str) else whole
    rng = random.Random(kind.__name__)
    file = tmp_path / "d/file.yaml"
    file.parent.mkdir(exist_ok=True)
    refused = 0
    for _ in range(TRIES):
        file.write_bytes(damaged(data, rng))
        start = time.monotonic()
        try:
            read(file)
        except PolicyPortError as error:
            refused += bool(str(error).strip())
        assert time.monotonic() - start < 10.0
    assert refused > TRIES // 4
