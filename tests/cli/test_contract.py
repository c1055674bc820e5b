"""Claims about `policy-port contract`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.contract import Contract, load_contract
from policy_port.descriptors import registry
from policy_port.descriptors.draft import REQUIRED, Draft
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.registry import Imported
from tests.descriptors import test_unitree_rl_lab
from tests.descriptors.importing import linear_policy, write
from tests.descriptors.test_newton_assets import asset
from tests.samples import contract_data


def run(*args: Any) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["contract", *map(str, args)])
    return result.exit_code, result.output


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "toy.yaml", asset())


ENOUGH = (
    *("--order", "mjw", "--layout", "isaaclab_velocity", "--robot", "toy", "--quaternion-order", "xyzw"),
    *("--timestep", "0.005", "--set", "decimation=4", "--actuation", "implicit"),
)


def test_import_writes_a_contract_that_loads(tmp_path: Path, source: Path) -> None:
    """The file is written, named after itself, and reads back with sources of every value."""
    out = tmp_path / "c.yaml"
    code, output = run("import", source, *ENOUGH, "--out", out)
    assert code == 0, output
    made = load_contract(out)
    assert (made.name, made.robot, made.decimation) == ("c", "toy", 4)
    assert made.sources["joints.*.stiffness"] == "toy.yaml: mjw_joint_stiffness (by mjw_joint_names)"
    assert "unset: command.lin_vel_x" in output


def test_import_with_gaps_exits_2_lists_them_and_writes_nothing(tmp_path: Path, source: Path) -> None:
    """A descriptor that says too little is a list of flags, and no file."""
    code, output = run("import", source, "--out", tmp_path / "c.yaml")
    assert code == 2
    assert "nothing is guessed" in output
    assert "give --order physx or --order mjw" in output
    assert not (tmp_path / "c.yaml").exists()


def test_import_does_not_overwrite_unasked(tmp_path: Path, source: Path) -> None:
    """An existing file stays, unless --force is given."""
    out = write(tmp_path / "c.yaml", "mine")
    code, output = run("import", source, *ENOUGH, "--out", out)
    assert (code, out.read_text()) == (2, "mine")
    assert "replace it with --force" in output
    assert run("import", source, *ENOUGH, "--out", out, "--force")[0] == 0
    assert load_contract(out).name == "c"


def test_import_into_a_missing_folder_is_refused_before_reading(tmp_path: Path, source: Path) -> None:
    """Nothing is made on the way."""
    code, output = run("import", source, *ENOUGH, "--out", tmp_path / "none/c.yaml")
    assert code == 2
    assert "no such folder" in output


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--set", "decimation"), "write it as KEY=VALUE"),
        (("--set", "base={"), "--set base:2: is not plain YAML"),
        (("--size", "scan=many"), "the size is a whole number above 0"),
        (("--size", "scan=3"), "--size means nothing for newton_assets"),
        (("--from", "rl_sar"), "is no descriptor of rl_sar"),
    ],
)
def test_slips_on_the_command_line_are_one_message(
    tmp_path: Path, source: Path, more: tuple[str, ...], message: str
) -> None:
    """Each ends with exit status 2 and without a traceback."""
    code, output = run("import", source, *ENOUGH, *more, "--out", tmp_path / "c.yaml")
    assert code == 2
    assert message in output
    assert "Traceback" not in output


def test_set_takes_yaml_and_reaches_every_joint(tmp_path: Path, source: Path) -> None:
    """A star is every joint; values are numbers, words, lists."""
    out = tmp_path / "c.yaml"
    sets = ("--set", "joints.*.armature=0.02", "--set", "command.lin_vel_x=[-1, 1]")
    assert run("import", source, *ENOUGH, *sets, "--out", out)[0] == 0
    made = load_contract(out)
    assert {joint.armature for joint in made.joints.values()} == {0.02}
    assert made.command.element("lin_vel_x").range == (-1.0, 1.0)


def test_import_and_check_hold_the_width_against_a_policy(tmp_path: Path, source: Path) -> None:
    """24 numbers against a network of 30: 6 are missing."""
    policy = linear_policy(tmp_path / "policy.onnx", 30, 4)
    out = tmp_path / "c.yaml"
    code, output = run("import", source, *ENOUGH, "--policy", policy, "--out", out)
    assert code == 2
    assert "reads 30 numbers, the contract describes 24, so 6 numbers are missing" in output
    assert run("import", source, *ENOUGH, "--out", out)[0] == 0
    assert run("check", out, "--policy", policy)[0] == 2
    code, output = run("check", out, "--policy", linear_policy(tmp_path / "right.onnx", 24, 4))
    assert code == 0
    assert "right.onnx: has these widths" in output


def toy(path: Path, **changes: Any) -> Path:
    data = Contract.model_validate(contract_data(**changes))
    path.write_text(data.to_yaml())
    return path


def test_check_lists_what_is_unset(tmp_path: Path) -> None:
    """A valid contract passes, and what a replay may miss is listed."""
    code, output = run("check", toy(tmp_path / "c.yaml"))
    assert code == 0
    assert "unset: armature is not stated for any joint" in output
    assert "unset: base.height is not stated" in output


def test_check_of_a_broken_contract_names_file_and_line(tmp_path: Path) -> None:
    """A contract that does not validate is exit status 2."""
    path = write(tmp_path / "c.yaml", contract_data() | {"timestep": -1})
    code, output = run("check", path)
    assert code == 2
    assert "c.yaml:6: timestep" in output


def test_show_prints_terms_with_their_index_and_every_joint(tmp_path: Path) -> None:
    """The table says where in the flat observation a term stands."""
    code, output = run("show", toy(tmp_path / "c.yaml", sources={"joints": "by hand"}))
    assert code == 0
    row = next(line for line in output.splitlines() if line.strip().startswith("joint_vel "))
    assert row.split() == ["joint_vel", "joint_vel", "14-17", "4", "0.05", "0", "-"]
    joint = next(line for line in output.splitlines() if line.strip().startswith("right_knee"))
    assert joint.split() == ["right_knee", "0.4", "rad", "-1", "2", "13", "1", "-", "-"]
    assert "50 Hz control (0.005 s x 4), implicit actuation, quaternions wxyz, floating base" in output
    assert "by hand" in output


def test_show_prints_history_and_per_joint_values(tmp_path: Path) -> None:
    """A stacked, time-major observation shows where each term of the first step stands."""
    observation = {
        "terms": [{"term": "base_ang_vel", "history": 3}, {"term": "joint_pos", "history": 3}],
        "history": {"layout": "time_major", "order": "newest_first", "fill": "zero"},
    }
    code, output = run("show", toy(tmp_path / "c.yaml", observation=observation))
    assert code == 0
    assert "history: time_major, newest_first, filled with zero" in output
    assert "joint_pos     joint_pos     3-6    4 x 3" in output


def test_diff_ends_with_1_where_contracts_differ(tmp_path: Path) -> None:
    """Equal contracts are 0, different ones 1 with the difference in words, bad files 2."""
    a, b = toy(tmp_path / "a.yaml"), toy(tmp_path / "b.yaml", name="other")
    assert run("diff", a, b) == (0, "no policy can tell these contracts apart\n")
    code, output = run("diff", a, toy(tmp_path / "c.yaml", decimation=2))
    assert (code, output) == (1, "decimation: 4 against 2\n")
    assert run("diff", a, tmp_path / "none.yaml")[0] == 2


def test_a_hostile_descriptor_runs_nothing(tmp_path: Path) -> None:
    """A tag that would run code is named where its value is needed, and let be where nobody reads it."""
    trace = tmp_path / "it_ran"
    hostile = f"!!python/object/apply:os.system ['touch {trace}']"
    text = yaml.safe_dump(asset()).replace("action_scale: 0.5", f"action_scale: {hostile}")
    code, output = run("import", write(tmp_path / "bad.yaml", text), *ENOUGH, "--out", tmp_path / "c.yaml")
    assert code == 2
    assert "'action_scale' is a value with the tag !!python/object/apply:os.system (line 1)" in output
    assert not (tmp_path / "c.yaml").exists()
    text = yaml.safe_dump(asset()) + f"extra: {hostile}\n"
    assert run("import", write(tmp_path / "bad.yaml", text), *ENOUGH, "--out", tmp_path / "c.yaml")[0] == 0
    assert not trace.exists()


def test_contracts_that_differ_in_a_quaternions_order_differ_where_one_is_seen(tmp_path: Path) -> None:
    """No policy can tell wxyz from xyzw that sees no pose; one whose task shows it a pose can."""
    a, b = toy(tmp_path / "a.yaml"), toy(tmp_path / "b.yaml", quaternion_order="xyzw")
    assert run("diff", a, b)[0] == 0
    seen = {"terms": [{"term": "external", "name": "cube_pose", "size": 7}]}
    toy(a, observation=seen)
    code, output = run("diff", a, toy(b, observation=seen, quaternion_order="xyzw"))
    assert (code, output) == (1, "quaternion_order: wxyz against xyzw\n")


def test_what_the_messages_of_an_import_advise_is_taken_as_it_stands(tmp_path: Path) -> None:
    """--gains-order and a whole term by --set, written as the messages write them, end in a contract."""
    terms = test_unitree_rl_lab.deploy()["observations"] | {"projected_gravity": {"params": {"sensor_cfg": "imu"}}}
    file = write(tmp_path / "deploy.yaml", test_unitree_rl_lab.deploy(observations=terms))
    names = write(tmp_path / "names.yaml", {"joint_names": test_unitree_rl_lab.POLICY})
    given: list[Any] = [
        "import",
        file,
        "--names",
        names,
        "--robot",
        "r",
        "--timestep",
        "0.005",
        "--actuation",
        "implicit",
    ]
    given += ["--out", tmp_path / "c.yaml"]
    code, output = run(*given)
    assert code == 2
    assert "--set observation.terms.projected_gravity='{term: KIND, ...}'" in output
    given += ["--set", "observation.terms.projected_gravity={term: projected_gravity, scale: 2.0}"]
    code, output = run(*given)
    assert code == 2
    assert "give --gains-order policy or --gains-order motor" in output
    assert not (tmp_path / "c.yaml").exists()
    assert run(*given, "--gains-order", "policy")[0] == 0
    made = load_contract(tmp_path / "c.yaml")
    assert made.observation.terms[-1].scale == 2.0  # type: ignore[union-attr]
    assert made.quaternion_order is None


def test_every_gap_takes_the_flag_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a draft lacks is asked for with a flag, and the flag as it is named fills it, by the command itself."""
    answers = {"NAME": "isaaclab_velocity", "WORDS": "Newton", "SECONDS": "0.005", "N": "4", "NUMBER": "0.25"}
    answers |= {"JOINT": "*", "implicit,": "implicit", "true": "true", "FILE": str(tmp_path / "names.yaml")}
    write(tmp_path / "names.yaml", {"joint_names": ["a", "b"]})

    def draft(lacking: str, options: ImportOptions) -> Draft:
        made = Draft("toy.yaml")
        names = ["a", "b"] if lacking != "joints" or options.names else []
        made.joints(names, "x")
        if lacking != "joints.*.default":
            made.per_joint("default", [0.0] * len(names), "x")
        if lacking != "observation.terms" or options.layout:
            made.term({"term": "joint_pos_rel"}, "x")
        if lacking != "action.terms":
            scale = {} if lacking == "action.terms.*.scale" else {"scale": 0.5}
            made.action({"term": "joint_position", "offset": "default"} | scale, "x")
        for key, value in {"robot": "r", "trained_in": "x", "timestep": 0.005, "decimation": 4}.items():
            if key != lacking:
                made.put(key, value, "x")
        for key, value in {"base.floating": False, "actuation.kind": "implicit"}.items():
            if key != lacking:
                made.put(key, value, "x")
        return made

    for lacking, flag in REQUIRED.items():

        def made_of(_: Any, __: Any, options: ImportOptions, lacking: str = lacking) -> Imported:
            contract = draft(lacking, options).build(options)
            return Imported(contract=contract, kind="toy", files=(), notes=(), unset=())

        monkeypatch.setattr(registry, "import_contract", made_of)
        out = tmp_path / f"{lacking}.yaml"
        code, output = run("import", "toy.yaml", "--out", out)
        assert code == 2, lacking
        assert f"give {flag}" in output
        given = [re.sub(r"[A-Z]+$", lambda word: answers[word[0]], part) for part in shlex.split(flag)][:2]
        given = [part.replace("JOINT", "*").replace("NUMBER", "0.25").rstrip(",") for part in given]
        code, output = run("import", "toy.yaml", *given, "--out", out)
        assert code == 0, f"{lacking}: {given}: {output}"
