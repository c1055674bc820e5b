"""Policies that public projects trained, crossing simulators by the commands of the program.

Speeds are those of metrics.json: forward, in the base frame, after two seconds. That those who walk in MuJoCo as they
are still do so, regress/real_policies.regress.yaml holds, which tests/regress runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from policy_port.checkpoints import load_policy
from policy_port.cli.app import app
from policy_port.contract import load_contract
from policy_port.export.write import write_port
from policy_port.motion.read import read_motion
from policy_port.remap import identity_remap
from policy_port.replay.held import Held
from policy_port.replay.play import Output, play_on_plant
from policy_port.resources import mappings_dir

pytestmark = [pytest.mark.shared, pytest.mark.slow]

CONTRACTS = Path(__file__).resolve().parents[1] / "real_policies"
PACKAGES = {"mujoco": "mujoco", "maniskill": "sapien", "newton": "newton"}

Walk = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def catalogue(shared: Path) -> dict[str, dict[str, Any]]:
    """The catalogue's entries by policy."""
    policies = yaml.safe_load((shared / "real_policies" / "catalogue.yaml").read_text())["policies"]
    return {entry["id"]: entry for entry in policies}


@pytest.fixture(scope="module")
def walk(shared: Path, catalogue: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """Exports a policy, or remaps it with `mapping`, once, and plays it; returns the metrics."""
    made = tmp_path_factory.mktemp("ports")

    def run(*words: str) -> None:
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, done.output

    def play(policy: str, plant: str, file: str, *, mapping: str | None = None, seconds: float = 5.0) -> dict[str, Any]:
        pytest.importorskip(PACKAGES[plant])
        folder, entry = shared / "real_policies", catalogue[policy]
        port = made / f"{policy}_{Path(mapping or 'as_it_is').stem}"
        if not port.exists():
            make = ("export",) if mapping is None else ("remap", "--mapping", mapping)
            contract = str(CONTRACTS / f"{policy}.yaml")
            command, *options = make
            written = ("--out", str(port), "--format", "onnx")
            run(command, str(folder / entry["file"]), "--contract", contract, *options, *written)
        out = made / f"{port.name}_in_{plant}"
        where = ("--plant", plant, "--robot", str(folder / "robots" / file), "--seconds", str(seconds))
        run("play", str(port), *where, "--command", ",".join(map(str, entry["baseline"]["command"])), "--out", str(out))
        return json.loads((out / "metrics.json").read_text())["metrics"]

    return play


G1, ORDER = "unitree_rl_gym_g1_12dof", "g1_12dof_isaacgym_to_sapien"


def test_g1_remapped_to_sapiens_order_walks(walk: Walk) -> None:
    """Trained depth-first in Isaac Gym; the command is 0.5 m/s."""
    metrics = walk(G1, "maniskill", "g1_12dof/g1_12dof.urdf", mapping=ORDER)
    assert (metrics["survival"], metrics["fallen"]) == (5.0, 0)
    assert 0.40 < metrics["mean_lin_vel_x"] < 0.55


def test_g1_whose_joints_are_matched_by_position_falls(walk: Walk, tmp_path: Path) -> None:
    """The mistake that the remap prevents: the same lists, the k-th joint of one taken for the k-th of the other."""
    text = (mappings_dir() / f"{ORDER}.yaml").read_text()
    by_position = tmp_path / "by_position.yaml"
    by_position.write_text(f"match: position\n{text}")
    metrics = walk(G1, "maniskill", "g1_12dof/g1_12dof.urdf", mapping=str(by_position))
    assert metrics["survival"] < 1.5
    assert metrics["fallen"] == 1


def test_anymal_goes_from_physx_to_mujoco_and_walks(walk: Walk, catalogue: dict[str, dict[str, Any]]) -> None:
    """Trained in PhysX's order, ported to MuJoCo's."""
    policy = "newton_assets_physx_anymal"
    metrics = walk(policy, "mujoco", "anymal_c/anymal_c.xml", mapping="anymal_c_physx_to_mujoco")
    assert metrics["fallen"] == 0
    assert metrics["mean_lin_vel_x"] == pytest.approx(catalogue[policy]["baseline"]["mean_vx"], rel=0.15)


@pytest.mark.parametrize("plant", ["maniskill", "newton"])
@pytest.mark.parametrize(
    ("policy", "file"),
    [("unitree_rl_lab_g1_29dof", "g1_29dof/g1_29dof.xml"), ("newton_assets_mjw_anymal", "anymal_c/anymal_c.xml")],
)
def test_a_biped_and_a_quadruped_walk_in_the_others(
    policy: str, file: str, plant: str, walk: Walk, catalogue: dict[str, dict[str, Any]]
) -> None:
    """Three seconds, of which the last is at the catalogue's speed within a quarter."""
    metrics = walk(policy, plant, file, seconds=3.0)
    assert metrics["fallen"] == 0
    assert metrics["mean_lin_vel_x"] == pytest.approx(catalogue[policy]["baseline"]["mean_vx"], rel=0.25)


@pytest.mark.parametrize(
    ("policy", "file", "clip"),
    [
        ("rl_sar_g1_dance_102", "rl_sar_g1_dance_102.pt", "rl_sar_g1_dance_102.csv"),
        ("robojudo_g1_jump_wose", "robojudo_g1_jump_wose.onnx", None),
    ],
)
def test_a_public_tracker_follows_its_clip(
    shared: Path, tmp_path: Path, policy: str, file: str, clip: str | None
) -> None:
    """In MuJoCo, at its own rate: it stays up, its joints within 0.13 rad; hands without shapes are told."""
    pytest.importorskip("mujoco")
    folder, contract = shared / "real_policies" / "tracking", load_contract(CONTRACTS / f"{policy}.yaml")
    assert contract.motion is not None
    motion = None if clip is None else read_motion(folder / clip, contract.motion.files)
    remap = identity_remap(contract)
    port = write_port(tmp_path / "port", load_policy(folder / file), remap, formats=("onnx",), motion=motion)
    robot = shared / "real_policies" / "robots" / "g1_29dof" / "g1_29dof.xml"
    (tmp_path / "run").mkdir()
    result = play_on_plant(
        port.pilot(), Held(seconds=1.5), Output(folder=tmp_path / "run"), kind="mujoco", robot=robot, meshes=False
    )
    assert (result["fallen"], result["survival"]) == (0, 1.5)
    assert "no shape to left_wrist_yaw_link, right_wrist_yaw_link" in result.setting["collision"]
    assert 0.01 < result["reference_joint_rmse"] < 0.13
