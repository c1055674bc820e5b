"""Claims about `policy-port play`, on a stand-in port and a plant without a simulator; and once on the real ones."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.contract import Contract, RobotMapping
from policy_port.port import folder as port_module
from policy_port.port.folder import Port
from policy_port.replay import env_workers
from policy_port.replay import play as play_module
from policy_port.resources import assets_dir
from policy_port.trace import Trace
from tests.control.fake_plant import FakePlant
from tests.control.networks import save_linear
from tests.samples import LEGS, contract_data


@dataclasses.dataclass
class StandIn:
    """What `play` uses of a port."""

    onnx: Path | None
    contract: Contract
    torchscript: Path | None = None
    mapping: RobotMapping | None = None
    motion: Any = None
    path: Path = Path("PORT")
    manifest: dict[str, Any] = dataclasses.field(default_factory=lambda: {"policy": {}})
    pilot = Port.pilot

    @property
    def held(self) -> dict[str, bytes]:
        """Its files' bytes by name."""
        return {} if self.onnx is None else {self.onnx.name: self.onnx.read_bytes()}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Arguments of the plants that were made; each is a FakePlant."""
    calls: list[dict[str, Any]] = []

    def make(kind: str, robot: str, setup: Any, **options: Any) -> FakePlant:
        calls.append({"kind": kind, "robot": robot, "setup": setup, **options})
        return FakePlant(LEGS, options["num_envs"], timestep=setup.timestep)

    monkeypatch.setattr(play_module, "make_plant", make)
    # No file is there to be read either.
    monkeypatch.setattr(play_module, "told_of_collisions", lambda *_, meshes: "" if meshes else "no shape to a foot")
    return calls


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A port whose network always answers zero."""
    contract = Contract.model_validate(contract_data(command={"lin_vel_x": [-1.0, 1.0]}))
    found = StandIn(save_linear(tmp_path / "policy.onnx", np.zeros((24, 4))), contract)
    monkeypatch.setattr(port_module, "load_port", lambda path: found)
    return found


def run(*args: Any) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["play", "PORT", *map(str, args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


WALK = ("--plant", "mujoco", "--robot", "toy.xml", "--command", "0.5,0,0", "--seconds", "0.5")


def test_a_walk_prints_its_setting_and_numbers_and_writes_them(
    port: StandIn, made: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Simulator, actuation and timestep are never silent; trace and metrics.json lie in --out, and nothing else."""
    code, output, _ = run(*WALK, "--out", tmp_path / "run")
    assert code == 0
    for text in ("fake 1.0", "implicit", "0.005 s x 4 = 0.02 s", "0.50 s of 0.5 s (did not fall)", "toy.xml"):
        assert text in output
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["metrics.json", "trace.npz"]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["metrics"]["survival"] == 0.5
    assert metrics["setting"]["simulator"] == "fake 1.0"
    assert len(Trace(tmp_path / "run" / "trace.npz")["time"]) == 25


@pytest.mark.pictures
def test_pictures_on_request(port: StandIn, made: list[dict[str, Any]], tmp_path: Path) -> None:
    """--video and --plot; the video has 25 pictures per second."""
    import imageio.v2 as imageio

    code, output, _ = run(*WALK, "--out", tmp_path / "run", "--video", "--plot")
    assert code == 0
    assert "video.mp4" in output
    assert (tmp_path / "run" / "plot.png").stat().st_size > 10_000
    with imageio.get_reader(tmp_path / "run" / "video.mp4") as video:  # type: ignore[attr-defined]
        assert video.get_meta_data()["fps"] == pytest.approx(25.0)
        assert 12 <= video.count_frames() <= 14


def test_a_report_on_request(port: StandIn, made: list[dict[str, Any]], tmp_path: Path) -> None:
    """--report: one page with the verdict, the setting and the hashes of what it rests on."""
    code, output, _ = run(*WALK, "--out", tmp_path / "run", "--report")
    assert code == 0
    assert "report.html" in output
    page = (tmp_path / "run" / "report.html").read_text()
    for text in ("Stayed up for 0.50 s", "fake 1.0", "toy.xml", "policy.onnx", "data:image/png;base64,"):
        assert text in page
    for name in ("trace.npz", "metrics.json"):
        assert hashlib.sha256((tmp_path / "run" / name).read_bytes()).hexdigest() in page
    assert str(tmp_path) not in page, "a report is handed on; where it was made is nobody's business"


def test_rerun_without_its_package_is_refused(
    port: StandIn, made: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named, before the simulator starts."""
    monkeypatch.setitem(sys.modules, "rerun", None)
    code, _, error = run(*WALK, "--out", tmp_path / "run", "--rerun")
    assert (code, "pip install rerun-sdk" in error, made) == (2, True, [])


def test_a_recording_for_rerun(port: StandIn, made: list[dict[str, Any]], tmp_path: Path) -> None:
    """--rerun writes a .rrd that names the joints."""
    pytest.importorskip("rerun", reason="rerun-sdk is not installed")
    assert run(*WALK, "--out", tmp_path / "run", "--rerun")[0] == 0
    data = (tmp_path / "run" / "replay.rrd").read_bytes()
    assert data.startswith(b"RRF")
    assert b"joints/left_knee/target" in data


def test_options_reach_the_plant(port: StandIn, made: list[dict[str, Any]], tmp_path: Path) -> None:
    """Another timestep keeps the control period; environments and meshes are passed on."""
    code, output, _ = run(*WALK, "--out", tmp_path / "run", "--timestep", "0.002", "--num-envs", "3", "--no-meshes")
    assert code == 0
    (call,) = made
    assert (call["kind"], call["num_envs"], call["meshes"], call["setup"].decimation) == ("mujoco", 3, False, 10)
    assert "0.002 s x 10 = 0.02 s" in output
    assert "0 left out" in output
    assert "no shape to a foot" in output


def test_a_command_outside_training_is_a_warning(port: StandIn, made: list[dict[str, Any]], tmp_path: Path) -> None:
    """The replay runs, and says so."""
    args = ("--plant", "mujoco", "--command", "1.5,0,0", "--seconds", "0.1", "--out", tmp_path / "run")
    code, _, error = run(*args)
    assert code == 0
    assert "warning: command lin_vel_x = 1.5 is outside [-1, 1]" in error
    assert made[0]["robot"] == "toy", "the contract's robot, where none is named"
    assert (made[0]["num_envs"], made[0]["processes"]) == (1, 1)
    run("--plant", "mujoco", "--command", "0,0,0", "--num-envs", "3", "--processes", "2", "--out", tmp_path / "shared")
    assert (made[1]["num_envs"], made[1]["processes"]) == (3, 2)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "exactly one of --env"),
        (("--env", "X", "--plant", "mujoco"), "exactly one of --env"),
        (("--env", "X", "--command", "1,0,0"), "--command goes with --plant"),
        (("--env", "X", "--no-meshes"), "--no-meshes goes with --plant"),
        (("--env", "X", "--num-envs", "2", "--processes", "2"), "--processes goes with --plant"),
        (("--plant", "mujoco", "--command", "1,0,0", "--processes", "2"), "give --num-envs 2"),
        (("--plant", "mujoco", "--command", "1,0,0", "--control-mode", "x"), "--control-mode goes with --env"),
        (("--plant", "mujoco"), "exactly one of --command"),
        (("--plant", "mujoco", "--command", "1,0,0", "--task", "so100-reach"), "exactly one of --command"),
        (("--plant", "mujoco", "--command", "1,0"), "three numbers"),
        (("--plant", "mujoco", "--command", "1,0,nan"), "finite numbers"),
        (("--plant", "mujoco", "--command", "fast"), "three numbers"),
        (("--plant", "moojoco", "--command", "1,0,0"), "moojoco"),
        (("--plant", "mujoco", "--task", "so100-reech"), "did you mean 'so100-reach'"),
        (("--plant", "mujoco", "--task", "so100-reach"), "no goal"),
    ],
)
def test_misuse_is_one_message_and_status_2(
    port: StandIn, made: list[dict[str, Any]], tmp_path: Path, args: tuple[str, ...], message: str
) -> None:
    """Nothing is written, and the message says what to do."""
    if "no goal" in message:
        port.contract = Contract.model_validate(
            contract_data(
                joints={n: {"default": 0.0, "stiffness": 1.0, "damping": 1.0} for n in _arm()},
                observation={"terms": [{"term": "joint_pos"}]},
            )
        )
    code, _, error = run(*args, "--out", tmp_path / "run")
    assert code == 2
    # typer frames and wraps its own messages.
    assert message in " ".join(error.replace("│", " ").split())
    assert not (tmp_path / "run").exists()


def _arm() -> tuple[str, ...]:
    from policy_port.tasks.reach import SO100_REACH

    return SO100_REACH.joint_names


def test_an_output_that_exists_is_refused(port: StandIn, made: list[dict[str, Any]], tmp_path: Path) -> None:
    """Without --force nothing is touched, with it a run's folder is replaced, and never somebody else's."""
    old = tmp_path / "run" / "metrics.json"
    old.parent.mkdir()
    old.write_text("mine")
    for force in ((), ("--force",)):
        code, _, error = run(*WALK, "--out", tmp_path / "run", *force)
        assert (code, "no command made it: it holds metrics.json" in error) == (2, True)
    old.write_text('{"metrics": {}}')
    code, _, error = run(*WALK, "--out", tmp_path / "run")
    assert (code, "--force" in error) == (2, True)
    assert not made, "refused before the simulator starts"
    assert run(*WALK, "--out", tmp_path / "run", "--force")[0] == 0
    assert old.read_text() != '{"metrics": {}}'


def test_a_port_without_onnx_is_refused(port: StandIn, tmp_path: Path) -> None:
    """Only ONNX is played."""
    port.onnx = None
    code, _, error = run(*WALK, "--out", tmp_path / "run")
    assert (code, "--format onnx" in error) == (2, True)


def test_a_mapping_that_leads_elsewhere_is_refused(port: StandIn, tmp_path: Path) -> None:
    """--through takes the mapping that the port was made with."""
    mapping = RobotMapping(source_joint_names=LEGS, target_joint_names=LEGS[::-1])
    (tmp_path / "map.yaml").write_text(mapping.to_yaml())
    code, _, error = run(*WALK, "--out", tmp_path / "run", "--through", tmp_path / "map.yaml")
    assert (code, "mapping leads to right_knee" in error) == (2, True)


def test_a_port_made_with_another_mapping_is_refused(port: StandIn, made: list[dict[str, Any]], tmp_path: Path) -> None:
    """A sign that was wrong when the port was made is told by the joint, before a simulator starts."""
    right = RobotMapping(source_joint_names=LEGS, target_joint_names=LEGS)
    port.mapping = RobotMapping.model_validate(
        {"source_joint_names": LEGS, "target_joint_names": LEGS, "joints": {LEGS[0]: {"sign": -1}}}
    )
    (tmp_path / "map.yaml").write_text(right.to_yaml())
    code, _, error = run(*WALK, "--out", tmp_path / "run", "--through", tmp_path / "map.yaml")
    assert (code, made) == (2, [])
    assert f"{LEGS[0]} is -1 x + 0 rad in one and 1 x + 0 rad in the other" in error


def test_a_term_of_a_task_environment_is_refused(port: StandIn, made: list[dict[str, Any]], tmp_path: Path) -> None:
    """Named, before a simulator starts."""
    terms = [{"term": "velocity_command"}, {"term": "external", "name": "obj_pose", "size": 7}]
    port.contract = Contract.model_validate(contract_data(observation={"terms": terms}))
    code, _, error = run(*WALK, "--out", tmp_path / "run")
    assert (code, "'obj_pose'" in error, made) == (2, True, [])


@pytest.fixture(scope="module")
def embedded_port(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The policy that ships with the project, exported as it is."""
    if not (assets_dir() / "so100_reach" / "model.pt").is_file():
        pytest.skip("the embedded policy is not here")
    folder = assets_dir() / "so100_reach"
    out = tmp_path_factory.mktemp("ports") / "so100"
    contract = ["--contract", str(folder / "contract.yaml"), "--out", str(out), "--format", "onnx"]
    result = CliRunner().invoke(app, ["export", str(folder / "model.pt"), *contract])
    assert result.exit_code == 0, result.output
    return out


def play(*args: Any) -> Any:
    result = CliRunner().invoke(app, ["play", *map(str, args)])
    assert result.exit_code == 0, result.output
    out = Path(args[args.index("--out") + 1])
    return json.loads((out / "metrics.json").read_text())


@pytest.mark.slow
def test_the_embedded_policy_reaches_in_mujoco(embedded_port: Path, tmp_path: Path) -> None:
    """Five episodes of the task, driven from the contract, on two environments."""
    pytest.importorskip("mujoco")
    pytest.importorskip("mani_skill", reason="the arm's description comes with ManiSkill (extra: sim)")
    args = ("--plant", "mujoco", "--task", "so100-reach", "--episodes", 5, "--num-envs", 2)
    found = play(embedded_port, *args, "--out", tmp_path / "run")
    assert [episode["seed"] for episode in found["episodes"]] == [0, 1, 2, 3, 4]
    assert found["metrics"]["success_rate"] == 1.0
    assert found["metrics"]["mean_final_distance"] < 0.005


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_embedded_policy_reaches_in_its_environment(
    embedded_port: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Episodes are the same here after another one, and from the first on in another process, bit for bit."""
    pytest.importorskip("mani_skill", reason="mani_skill is not installed (extra: sim)")
    pool = env_workers.ProcessPoolExecutor
    # A second process would take as long again to import ManiSkill.
    monkeypatch.setattr(env_workers, "ProcessPoolExecutor", lambda _, **options: pool(1, **options))
    args = ("--env", "PolicyPortSO100Reach-v1", "--episodes")
    here = play(embedded_port, *args, 3, "--seed", 5, "--out", tmp_path / "here")
    apart = play(embedded_port, *args, 2, "--seed", 6, "--num-envs", 2, "--out", tmp_path / "apart")
    assert [episode["seed"] for episode in here["episodes"]] == [5, 6, 7]
    assert here["episodes"][1:] == apart["episodes"]
    assert here["metrics"]["success_rate"] == 1.0
    trace, other = (Trace(tmp_path / name / "trace.npz") for name in ("here", "apart"))
    later = np.asarray(trace["episode"]).ravel() > 0
    assert all(np.array_equal(trace[name][later], other[name]) for name in {*trace} - {"episode"})
    # What the environment observed is what the contract says: positions, targets before the step, goal.
    assert np.allclose(trace["observation"][:, 0, :6], trace["joint_pos"][:, 0], atol=1e-6)
    assert np.allclose(trace["observation"][1:80, 0, 6:12], trace["target"][:79, 0], atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_environment_that_does_not_fit_is_refused(embedded_port: Path, tmp_path: Path) -> None:
    """An unknown one with the nearest name, and one of another robot with the joints of both."""
    pytest.importorskip("mani_skill", reason="mani_skill is not installed (extra: sim)")
    runner = CliRunner()
    for env, text in (("PickCub-v1", "did you mean 'PickCube-v1'"), ("PickCube-v1", "joints are panda_joint1")):
        result = runner.invoke(app, ["play", str(embedded_port), "--env", env, "--out", str(tmp_path / "run")])
        assert result.exit_code == 2
        assert text in result.stderr
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_port_for_the_arm_does_not_pass_for_one_for_its_simulator(tmp_path: Path) -> None:
    """The port in degrees has the environment's widths, and is still refused until --through names its mapping."""
    pytest.importorskip("mani_skill", reason="mani_skill is not installed (extra: sim)")
    folder, port, mapping = assets_dir() / "so100_reach", tmp_path / "port", "so100_maniskill_to_lerobot"
    wanted = ["--contract", str(folder / "contract.yaml"), "--mapping", mapping, "--format", "onnx"]
    runner = CliRunner()
    made = runner.invoke(app, ["remap", str(folder / "model.pt"), *wanted, "--out", str(port)])
    assert made.exit_code == 0, made.output
    args = ["--env", "PolicyPortSO100Reach-v1", "--episodes", "1", "--out"]
    refused = runner.invoke(app, ["play", str(port), *args, str(tmp_path / "refused")])
    assert (refused.exit_code, "--through" in refused.stderr) == (2, True)
    found = play(port, *args, tmp_path / "run", "--through", mapping)
    assert found["metrics"]["success_rate"] == 1.0
