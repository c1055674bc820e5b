"""What a suite is told is in the words of a suite."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.regress.advice import _KEYS, in_a_suite
from policy_port.regress.play import EnvCase, PlantCase
from policy_port.regress.suite import Case
from tests.regress.toy import ROBOT, write_cases, write_toy


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("use --plant mujoco", "use `simulator: mujoco`"),
        ("leave meshes out with --no-meshes, or", "leave meshes out with `meshes: false`, or"),
        ("or use --sim-backend physx_cpu", "or use `sim_backend: physx_cpu`"),
        ("say --from sb3 or --from skrl", "say `library` sb3 or `library` skrl"),
        (
            "by --through, or `policy-port contract import --env X`",
            "by `through`, or `policy-port contract import --env X`",
        ),
        (
            "say --ignore 'vae'",
            "say --ignore 'vae'. A suite has no key for --ignore: export the policy with it, and name the `port`",
        ),
        ("pip install --upgrade x", "pip install --upgrade x"),
    ],
)
def test_options_become_keys(said: str, told: str) -> None:
    """Each has the key that says the same; what has none leads to export, and whole commands stay as they are."""
    assert in_a_suite(said) == told


def test_the_keys_are_there() -> None:
    """In a case, its plant or its env."""
    known = {*Case.model_fields, *PlantCase.model_fields, *EnvCase.model_fields}
    assert {key.partition(":")[0] for key in _KEYS.values()} <= known


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_a_suite_is_told_is_done(tmp_path: Path) -> None:
    """A robot that SAPIEN refuses is played by the simulator whose key the message names."""
    pytest.importorskip("mani_skill", reason="mani_skill is not installed (extra: sim)")
    expect = {"open_loop": {"steps": 5}}
    suite = write_toy(tmp_path, "wet", expect=expect)
    (tmp_path / "toy.xml").write_text(ROBOT.replace("<worldbody>", '<option density="1000"/><worldbody>'))

    def update(simulator: str) -> tuple[int, str]:
        write_cases(tmp_path, "wet", expect=expect, plant={"simulator": simulator, "robot": "toy.xml"})
        result = CliRunner().invoke(app, ["regress", str(suite), "--update"])
        return result.exit_code, " ".join(result.output.split())

    code, said = update("maniskill")
    assert (code, "or use `simulator: mujoco`" in said) == (2, True), said
    assert update("mujoco")[0] == 0
    assert yaml.safe_load(suite.read_text())["cases"][0]["plant"]["simulator"] == "mujoco"
