"""scripts/isaaclab_crossing: its robots, its recorder, its tables, its environment; and itself, where Isaac Lab is."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from policy_port.trace import Recorder, Trace

ROOT = Path(__file__).resolve().parents[1]
ISAACLAB = Path(os.environ.get("POLICY_PORT_ISAACLAB_VENV", ROOT / ".venv-isaaclab")) / "bin" / "python"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import a program of benchmarks/ or examples/ as if it were run from there."""

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    yield load
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("isaaclab_robots", "isaaclab_table", "isaaclab_crossing", "foreign_runs"):
            del sys.modules[name]


def breadth_first(parents: dict[str, str], joints: dict[str, str]) -> list[str]:
    """PhysX's order: by depth, siblings by the name of their joint; a weld counts for depth and is no joint."""
    order, level = [], [name for name, parent in parents.items() if not parent]
    while level:
        order += [joints[name] for name in level if joints[name]]
        below = [[name for name in parents if parents[name] == above] for above in level]
        level = [name for names in below for name in sorted(names, key=lambda name: joints[name])]
    return order


@pytest.mark.parametrize("robot", ["go2", "g1", "h1", "anymal_d"])
def test_a_stand_in_has_both_orders_of_isaac_labs_robot(module: Any, robot: str) -> None:
    """Its joints in the file's order are Newton's, by depth and name PhysX's, as the shipped mapping has them."""
    bodies = module("isaaclab_robots").links(robot)
    mapping = yaml.safe_load((ROOT / "mappings" / f"{robot}_newton_to_physx.yaml").read_text())
    assert [link.joint for link in bodies if link.joint] == mapping["source_joint_names"]
    tree = {link.name: link.parent for link in bodies}, {link.name: link.joint for link in bodies}
    assert breadth_first(*tree) == mapping["target_joint_names"]


@pytest.mark.parametrize("robot", ["go2", "g1", "h1", "anymal_d"])
def test_a_stand_in_is_written_as_usd(module: Any, robot: str) -> None:
    """One body is the root; each has its mass and stands where its parents put it; hinges have limits in degrees."""
    robots = module("isaaclab_robots")
    bodies, text = {link.name: link for link in robots.links(robot)}, robots.usd(robot)
    found = dict(re.findall(r'^    def Xform "(\w+)" \((.*?)^    }', text, re.DOTALL | re.MULTILINE))
    assert list(found) == list(bodies)
    assert [name for name in found if "PhysicsArticulationRootAPI" in found[name]] == [next(iter(bodies))]
    for name, link in bodies.items():
        assert f"float physics:mass = {link.mass:g}\n" in found[name]
        above, at = link, np.zeros(3)
        while above.parent:
            at, above = at + above.at, bodies[above.parent]
        (placed,) = re.findall(r"^        double3 xformOp:translate = \((.*)\)$", found[name], re.MULTILINE)
        assert np.allclose([float(number) for number in placed.split(",")], at)
    hinges = dict(re.findall(r'def PhysicsRevoluteJoint "(\w+)"\n(.*?)}', text, re.DOTALL))
    assert list(hinges) == [link.joint for link in bodies.values() if link.joint]
    for link in bodies.values():
        if link.joint:
            (limit,) = re.findall(r"physics:upperLimit = (.*)", hinges[link.joint])
            assert np.radians(float(limit)) == pytest.approx(link.range[1], abs=1e-5)
            assert f"body0 = </{robot}/{link.parent}>" in hinges[link.joint]
            assert f"body1 = </{robot}/{link.name}>" in hinges[link.joint]
    assert text.count("{") == text.count("}")


def test_the_other_side_of_a_stand_in_is_mirrored(module: Any) -> None:
    """A hinge that turns about x or z has its limits turned round on the right, one about y keeps them."""
    links = {link.joint: link for link in module("isaaclab_robots").links("g1")}
    left, right = links["left_hip_roll_joint"], links["right_hip_roll_joint"]
    assert right.range == (-left.range[1], -left.range[0])
    assert (right.at[1], right.com[1]) == (-left.at[1], -left.com[1])
    assert links["right_knee_joint"].range == links["left_knee_joint"].range


def test_the_recipe_of_the_documentation_is_what_the_crossing_runs() -> None:
    """docs/traces.md shows examples/record_isaac_lab.py, which isaaclab_steps.py imports, line by line."""
    example = (ROOT / "examples" / "record_isaac_lab.py").read_text()
    body = example[example.index("import torch") :].rstrip()
    assert f"```python\n{body}\n```" in (ROOT / "docs" / "traces.md").read_text()
    assert "from record_isaac_lab import record" in (ROOT / "benchmarks" / "isaaclab_steps.py").read_text()


class OldInitialState:
    """Isaac Lab 2.x: the identity begins with its 1."""

    rot = (1.0, 0.0, 0.0, 0.0)


class OldLab:
    """The attributes of a 2.x environment that the recipe reads, with plain tensors; each step adds one to all."""

    def __init__(self, groups: dict[str, Any]) -> None:
        import torch

        self.unwrapped = self
        names = ["a", "b", "c"]
        ones = torch.ones(5, 3)
        data = {f"root_link_{key}": ones for key in ("pos_w", "lin_vel_b", "ang_vel_b")}
        data |= {"joint_pos": ones, "joint_vel": ones, "root_link_quat_w": torch.ones(5, 4)}
        data |= {"com_pos_b": torch.full((5, 2, 3), 7.0), "joint_damping": ones * 0.0, "joint_stiffness": ones * 0.0}
        cfg = SimpleNamespace(
            init_state=OldInitialState(),
            actuators={name: SimpleNamespace(joint_names_expr=group.names) for name, group in groups.items()},
        )
        robot = SimpleNamespace(
            joint_names=names,
            data=SimpleNamespace(**data),
            actuators=groups,
            cfg=cfg,
            find_joints=lambda wanted: ([names.index(name) for name in wanted], wanted),
        )
        term = SimpleNamespace(processed_actions=ones * 3, _joint_names=names)
        self.scene = type("Scene", (dict,), {"env_origins": ones})(robot=robot)
        self.action_manager = SimpleNamespace(get_term=lambda name: {"joint_pos": term}[name])
        self.command_manager = SimpleNamespace(get_command=lambda name: {"base_velocity": ones}[name])
        self.physics_dt, self.step_dt, self.cfg = 0.005, 0.02, SimpleNamespace(decimation=4)
        self.episode_length_buf = torch.zeros(5)
        self.ones = ones

    def get_observations(self) -> dict[str, Any]:
        return {"policy": self.ones}

    def step(self, action: Any) -> tuple[Any, None, None, None]:
        self.ones += 1  # in place, as Isaac Lab does
        return self.get_observations(), None, None, None


def explicit(*names: str, stiffness: float) -> SimpleNamespace:
    import torch

    gain = torch.full((5, len(names)), stiffness)
    return SimpleNamespace(names=list(names), is_implicit_model=False, stiffness=gain, damping=gain / 10)


def test_the_recipe_reads_an_isaac_lab_2_environment(module: Any, tmp_path: Path) -> None:
    """Plain tensors, quaternions wxyz, an explicit actuator's own gains by joint, rows from before each step."""
    env = OldLab({"legs": explicit("c", "a", stiffness=25.0), "arm": explicit("b", stiffness=40.0)})
    module("record_isaac_lab").record(env, lambda obs: obs["policy"] * 2, tmp_path / "t.npz", steps=2)
    trace = Trace(tmp_path / "t.npz")
    assert trace.header["quaternion_order"] == "wxyz"
    assert trace.header["actuation"] == "explicit"
    assert trace.header["stiffness"] == [25.0, 40.0, 25.0]
    assert trace.header["damping"] == [2.5, 4.0, 2.5]
    assert trace["observation"].shape == (2, 4, 3), "four of five environments"
    assert trace["observation"][:, 0, 0].tolist() == [1.0, 2.0], "copied before the step writes into its buffer"
    assert trace["action"][:, 0, 0].tolist() == [2.0, 4.0]
    assert trace["base_com"][0, 0].tolist() == [7.0, 7.0, 7.0]


def test_the_recipe_refuses_what_one_word_can_not_say(module: Any, tmp_path: Path) -> None:
    """Some joints with explicit actuators and some without are no one kind of actuation."""
    drive = SimpleNamespace(names=["b"], is_implicit_model=True)
    env = OldLab({"legs": explicit("c", "a", stiffness=25.0), "arm": drive})
    with pytest.raises(AssertionError, match="one kind of actuation"):
        module("record_isaac_lab").record(env, lambda obs: obs["policy"], tmp_path / "t.npz", steps=1)


def trace(path: Path, names: list[str], joints: Any, **more: Any) -> Path:
    """A trace of two steps in which all but the joints is zero."""
    still = {key: np.zeros(3) for key in ("base_pos", "base_lin_vel", "base_ang_vel")} | {"base_quat": np.zeros(4)}
    with Recorder(path, {"joint_names": names}) as recorder:
        for _ in range(2):
            values = {key: np.array(joints, float) for key in ("joint_pos", "joint_vel", "target")}
            recorder.record(**{**still, **values, **more})
    return path


def test_a_crossing_is_compared_joint_by_joint(module: Any, tmp_path: Path) -> None:
    """Columns in another order are no difference; two joints exchanged are; a NaN is not none."""
    differences = module("isaaclab_crossing").differences
    first = trace(tmp_path / "1.npz", ["a", "b", "c"], [1, 2, 3])
    same = differences(first, trace(tmp_path / "2.npz", ["c", "a", "b"], [3, 1, 2]))
    assert set(same.values()) == {0.0}
    wrong = differences(first, trace(tmp_path / "3.npz", ["c", "a", "b"], [3, 2, 1]))
    assert (wrong["joint_pos"], wrong["target"], wrong["base_pos"]) == (1.0, 1.0, 0.0)
    fallen = differences(first, trace(tmp_path / "4.npz", ["a", "b", "c"], [1, 2, 3], base_pos=np.full(3, np.nan)))
    assert fallen["base_pos"] == float("inf")


def test_traces_of_other_joints_or_steps_are_not_compared(module: Any, tmp_path: Path) -> None:
    """They are an error that names the joints, or the shapes."""
    crossing, error = module("isaaclab_crossing"), module("foreign_runs").RunError
    first = trace(tmp_path / "1.npz", ["a", "b"], [1, 2])
    with pytest.raises(error, match=r"other joints: \['b', 'x'\]"):
        crossing.differences(first, trace(tmp_path / "2.npz", ["a", "x"], [1, 2]))
    with pytest.raises(error, match=r"joint_pos of .* is \(2, 2\), of .* \(2, 1, 2\)"):
        crossing.differences(first, trace(tmp_path / "3.npz", ["a", "b"], [[1, 2]]))


def verified(module: Any, **more: Any) -> Any:
    given = {"status": 0, "equal": 10, "compared": 10, "wrong": (), "unmade": (), "action_error": 0.0, "said": ""}
    return module("foreign_runs").Verified(**{**given, **more})


def made(module: Any, **more: Any) -> Any:
    table = module("isaaclab_table")
    given = {"robot": "go2", "policy": "untrained", "order": "newton", "flags": "--name go2", "steps": 60}
    given |= {"differences": dict.fromkeys(table.COMPARED, 1e-7)}
    given |= dict.fromkeys(("export", "remapped", "crossed"), verified(module))
    return table.Crossing(**{**given, **more})


def test_only_what_was_compared_and_equal_is_good(module: Any) -> None:
    """A comparison that differs, one that could not be made, a crossing too far or not made: none of them is."""
    assert made(module).good
    assert not made(module, remapped=verified(module, status=1, equal=9, wrong=("action",))).good
    assert not made(module, crossed=verified(module, status=3, equal=9, unmade=("target",))).good
    assert not made(module, crossed=None).good
    assert not made(module, differences={}).good
    assert not made(module, differences={"joint_pos": 2e-6}).good


def test_the_table_says_what_differs_and_what_was_not_done(module: Any) -> None:
    """Each is named: a comparison by its label, a robot by the first line of its reason, a real policy by its speed."""
    found = [
        made(module, export=verified(module, status=1, equal=8, wrong=("action",), unmade=("target",))),
        module("isaaclab_table").Crossing(robot="h1", policy="untrained", order="physx", reason="no file\nlong log"),
        made(module, robot="anymal_d", policy="walker", speed=0.987),
    ]
    text = module("isaaclab_table").document(found, ["isaaclab 3.0.0"], None, {"anymal_d": "without its network"})
    assert "| 8 of 10 (action wrong, target not compared) | 10 of 10 | 10 of 10 |" in text
    assert "**h1, untrained, physx** was not done: no file\n" in text
    assert "long log" not in text
    assert "| 1.0e-07 | 0.99 |" in text
    assert "- **anymal_d**: without its network." in text


def test_verify_is_read_as_it_judges(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal, wrong and not compared are counted apart, and the exit status is kept."""
    runs = module("foreign_runs")
    statuses = {"action": "equal", "target": "unchecked", "joint_vel": "wrong"}
    checks = [{"label": label, "status": status, "error": 0.5} for label, status in statuses.items()]
    said = json.dumps({"verdict": "v", "checks": checks})
    done = runs.Done(words=("policy-port", "verify"), status=1, said=said, seconds=0.0)
    monkeypatch.setattr(runs, "policy_port", lambda *words, expect: done)
    found = runs.verify(Path("port"), Path("trace.npz"))
    assert (found.status, found.equal, found.compared, found.action_error) == (1, 1, 3, 0.5)
    assert found.cell == "1 of 3 (joint_vel wrong, target not compared)"


def test_the_options_of_an_import_are_told(module: Any) -> None:
    """What a user must think of stays, the output's name does not."""
    runs = module("foreign_runs")
    words = (
        "policy-port",
        "contract",
        "import",
        "f",
        "--out",
        "c",
        "--name",
        "g1",
        "--set",
        "base.floating=true",
        "--force",
    )
    assert runs.flags(runs.Done(words=words, status=0, said="", seconds=0.0)) == "--name g1 --set base.floating=true"
    assert runs.flags(runs.Done(words=words[:6], status=0, said="", seconds=0.0)) == "none"


def test_a_run_that_fails_is_shown_by_its_last_words(module: Any, tmp_path: Path) -> None:
    """Its status and the end of its log; a run that never ends is stopped; PYTHONPATH does not reach it."""
    runs = module("foreign_runs")
    here = runs.Interpreter(python=Path(sys.executable), environment={"WORD": "hello"})
    script = tmp_path / "script.py"
    script.write_text("import os, sys; print(os.environ['WORD'], 'PYTHONPATH' in os.environ, sys.argv[1])")
    assert here.run(script, "there", log=tmp_path / "log").said == "hello False there\n"
    script.write_text("print('\\n'.join(map(str, range(99)))); raise SystemExit(4)")
    with pytest.raises(runs.RunError, match=r"script.py ended with status 4; .*\n74\n(.*\n)*98$"):
        here.run(script, log=tmp_path / "log")
    script.write_text("import time; print('began', flush=True); time.sleep(60)")
    with pytest.raises(runs.RunError, match=r"was stopped after 2 s; .*\nbegan"):
        here.run(script, log=tmp_path / "log", seconds=2)
    with pytest.raises(runs.RunError, match="can't be run"):
        runs.Interpreter(python=tmp_path / "no" / "python").versions(["numpy"])


def test_an_environment_that_can_not_be_had_ends_the_run(tmp_path: Path) -> None:
    """A variable that names no environment, and a Python that does not run: exit status 2, and which it was."""
    command = [sys.executable, str(ROOT / "benchmarks" / "isaaclab_crossing.py"), "--work", str(tmp_path / "work")]
    variables = {**os.environ, "POLICY_PORT_ISAACLAB_VENV": str(tmp_path / "nowhere")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=variables)
    assert done.returncode == 2
    assert f"POLICY_PORT_ISAACLAB_VENV={tmp_path}/nowhere: no Python 3.12 or newer runs as bin/python" in done.stderr
    assert "no environment with isaaclab[rsl-rl]==3.0.0, for the reason above" in done.stderr
    done = crossing("--work", str(tmp_path / "work"), python=tmp_path / "python")
    assert done.returncode == 2
    assert f"error: {tmp_path}/python can't be run" in done.stderr
    assert not (tmp_path / "work").exists()


def crossing(*options: str, python: Path = Path(sys.executable)) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "isaaclab_crossing.py"), "--python", str(python), *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--only", "go3"), "--only: go3 is not among go2, g1, h1, anymal_d"),
        (("--robots", "nowhere"), "--robots: nowhere is no folder"),
    ],
)
def test_bad_options_are_named(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """Exit status 2, what was given, what exists; nothing is written."""
    done = crossing("--work", str(tmp_path / "work"), *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "work").exists()


def test_a_robot_that_is_not_at_hand_is_named(tmp_path: Path) -> None:
    """With `--robots`, what the folder lacks is said in the table and on the console, and the exit status is 1."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "h1.usd").touch()
    options = (
        "--only",
        "go2",
        "--robots",
        str(tmp_path / "own"),
        "--work",
        str(tmp_path / "work"),
        "--walk-steps",
        "0",
    )
    done = crossing(*options, "--out", str(tmp_path / "table.md"))
    assert done.returncode == 1, done.stderr
    assert "robots has no go2.usd; it holds ground.usda, h1.usd" in done.stderr
    assert "was not done" in (tmp_path / "table.md").read_text()


@pytest.mark.slow
@pytest.mark.skipif(
    not ISAACLAB.exists(), reason=f"no Isaac Lab: {ISAACLAB} is absent; scripts/isaaclab_crossing makes it"
)
def test_go2_crosses_inside_isaac_lab(tmp_path: Path) -> None:
    """Isaac Lab's own Go2 task is imported, verified in all comparisons and crosses without a difference."""
    options = ("--only", "go2", "--steps", "20", "--walk-steps", "0", "--work", str(tmp_path / "work"))
    done = crossing(*options, "--out", str(tmp_path / "table.md"), python=ISAACLAB)
    assert done.returncode == 0, done.stdout + done.stderr
    # What the page tells a reader to do with these files does what it says.
    work = str(tmp_path / "work")
    for line in page_commands():
        words = line.partition("  #")[0].replace("runs/isaaclab", work).split()
        expected = int((re.findall(r"# exit status (\d)", line) or ["0"])[0])
        if words[0] == "policy-port":
            words[:1] = [sys.executable, "-c", "from policy_port.cli.app import main; main()"]
        elif words[1] == ".venv-isaaclab/bin/python":
            words = [str(ISAACLAB), str(ROOT / words[2]), *words[3:]]
        else:
            assert words[0] in ("scripts/isaaclab_crossing", "isaaclab"), line
            continue
        variables = {**os.environ, "OMNI_KIT_ACCEPT_EULA": "YES", "PYTHONPATH": str(ROOT)}
        if "isaaclab_steps" in line:
            del variables["PYTHONPATH"]
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=variables)
        assert done.returncode == expected, f"{line}\n{done.stdout}{done.stderr}"
        if " diagnose " in line:
            assert re.search(r"^1\. joint order: ", done.stdout, re.MULTILINE)


def page_commands() -> list[str]:
    """The commands of docs/isaac_lab.md, each on one line."""
    text = (ROOT / "docs" / "isaac_lab.md").read_text()
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def test_the_pages_commands_have_their_options() -> None:
    """Every command of policy-port in docs/isaac_lab.md is one, with options that it has."""
    from policy_port.cli.app import command_named

    seen = 0
    for line in page_commands():
        program, *words = line.partition("  #")[0].split()
        if program != "policy-port":
            continue
        command: Any = command_named(words.pop(0))
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line
        seen += 1
    assert seen >= 10
