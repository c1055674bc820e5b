"""What sensors give of a contract, and the student's contract that is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.contract import Contract, load_contract
from policy_port.contract.measurable import measurable
from policy_port.contract.sensors import OWN, SENSORS, TABLE, row_of, table_text
from policy_port.contract.terms import ObservationTerm
from policy_port.errors import ContractError
from tests.samples import contract_data

ROOT = Path(__file__).resolve().parents[2]
PRIVILEGED = {"term": "base_lin_vel", "scale": 2.0}
LAYOUT = {"layout": "time_major", "order": "newest_first", "fill": "zero"}
MOTION = {"anchor": "torso", "align": "yaw", "end": "hold"}
CHAIN = {"motion": MOTION | {"chain": [{"link": "torso", "joint": "left_hip", "axis": [0.0, 0.0, 1.0]}]}}
FOOT = {"links": ["foot"]}
WAYS: list[tuple[dict[str, Any], str, str | None, dict[str, Any]]] = [
    # term, sensors, words of the way, or of why not after a "-"; what else the contract says
    (PRIVILEGED, "imu,encoders", "- an IMU measures acceleration", {}),
    (PRIVILEGED, "imu", "- it takes estimator", {}),
    (PRIVILEGED, "estimator", "estimator: pose and velocity", {}),
    (PRIVILEGED, "encoders", "mounting: a constant", {"base": {"floating": False}}),
    (PRIVILEGED | {"link": "foot"}, "encoders", "forward kinematics", {"base": {"floating": False}}),
    (PRIVILEGED | {"link": "foot"}, "imu,encoders", "- an IMU", {}),
    ({"term": "base_ang_vel", "frame": {"site": "imu"}}, "imu", "gyroscope", {}),
    ({"term": "base_ang_vel", "link": "foot"}, "imu", "- it takes imu + encoders", {}),
    ({"term": "base_euler", "angles": ["roll", "pitch"]}, "imu", "roll and pitch", {}),
    ({"term": "base_euler"}, "imu", "drifts", {}),
    ({"term": "base_quat"}, "imu,estimator", "estimator: pose", {}),
    ({"term": "heading_error"}, "encoders", "- it takes estimator or imu", {}),
    ({"term": "link_height"}, "imu,encoders", "- an IMU", {}),
    ({"term": "link_height", "above": ["foot"]}, "imu,encoders", "upright by the IMU", {}),
    ({"term": "link_pos", "link": "foot", "frame": "base"}, "encoders", "forward kinematics", {}),
    ({"term": "link_pos", "link": "foot", "frame": "yaw"}, "encoders", "- it takes imu + encoders", {}),
    ({"term": "link_pos", "link": "foot", "frame": "world"}, "imu,encoders", "- an IMU", {}),
    ({"term": "joint_effort"}, "encoders", "- encoders tell where a joint is", {}),
    ({"term": "joint_effort"}, "torque", "torque of each drive", {}),
    ({"term": "contact", "threshold": 1.0, **FOOT}, "contacts", "whether it touches", {}),
    ({"term": "contact", **FOOT}, "contacts", "- a switch tells whether", {}),
    ({"term": "contact", "measure": "vector", **FOOT}, "forces", "- it takes forces + imu + encoders", {}),
    ({"term": "height_scan", "size": [0.1, 0.1], "resolution": 0.1}, "camera", "- pictures are no heights", {}),
    ({"term": "height_scan", "size": [0.1, 0.1], "resolution": 0.1}, "heights", "the map", {}),
    ({"term": "motion_anchor_ori_b"}, "imu", "drifts", {"motion": MOTION}),
    ({"term": "motion_anchor_ori_b"}, "imu", "- it takes imu + encoders", CHAIN),
    ({"term": "motion_anchor_pos_b"}, "imu,encoders", "- it takes estimator", CHAIN),
    ({"term": "motion_command"}, "imu", "clip and computer", {"motion": MOTION}),
    ({"term": "external", "name": "obj_pose", "size": 7}, "camera", "- only the simulation", {}),
    ({"term": "goal", "size": 2, "frame": "world, m"}, "encoders", "task: the goal", {}),
]


def contract_of(*terms: dict[str, Any], history: Any = None, groups: Any = None, **changes: Any) -> Contract:
    observation: dict[str, Any] = {"terms": list(terms)}
    observation |= {} if history is None else {"history": history}
    observation |= {} if groups is None else {"groups": groups}
    return Contract.model_validate(contract_data(observation=observation, command={"heading": [-3.0, 3.0]}, **changes))


def test_every_term_has_a_row() -> None:
    """The table says something of each kind of term that a contract can hold, in words and names that exist."""
    kinds = {get_args(kind.model_fields["term"].annotation)[0] for kind in get_args(get_args(ObservationTerm)[0])}
    last = {name for row in TABLE if not row.when for name in row.terms}
    assert kinds == last, "a kind needs a row without a condition, and a row names no other kind"
    for row in TABLE:
        for way in row.ways:
            assert set(way.sensors) <= set(SENSORS)
            assert set(way.own) <= set(OWN)
            assert way.source
            assert way.sensors or way.own
        assert {name for name, _ in row.refused} <= set(SENSORS)


@pytest.mark.parametrize(("term", "sensors", "words", "changes"), WAYS, ids=lambda value: str(value)[:60])
def test_what_a_sensor_gives(term: dict[str, Any], sensors: str, words: str, changes: dict[str, Any]) -> None:
    """Each term is given by the sensors that reach it on that robot, and refused with the reason otherwise."""
    contract = contract_of(term, {"term": "joint_pos"}, **changes)
    found = measurable(contract, sensors.split(",")).findings[0]
    assert (found.way is None) == words.startswith("- ")
    assert words.removeprefix("- ") in found.words


def test_the_student_keeps_what_stays() -> None:
    """Order, scales, clips, delays and joints of kept terms are the teacher's; the file read back is the same."""
    kept = (
        {"term": "joint_vel", "scale": 0.05, "clip": [-9.0, 9.0], "joints": ["right_knee", "left_hip"], "delay": 1},
        {"term": "velocity_command", "scale": [2.0, 2.0, 0.25]},
        {"term": "base_ang_vel", "scale": [0.25, 0.5, 1.0]},
        {"term": "last_action"},
    )
    last = "observation.terms.last_action.x"
    sources = {
        "observation.terms.base_lin_vel": "a",
        "observation.terms.3": "b",
        last: "c",
    }
    teacher = contract_of(kept[0], PRIVILEGED, *kept[1:], sources=sources)
    student = measurable(teacher, ("encoders", "imu")).student()
    assert student.observation.terms == tuple(t for t in teacher.observation.terms if t.term != "base_lin_vel")
    assert (student.action, student.joints) == (teacher.action, teacher.joints)
    assert load_contract("student.yaml", student.to_yaml().encode()) == student
    assert {"observation.terms.2": "b", last: "c"}.items() <= student.sources.items()
    assert "left out: base_lin_vel" in student.sources["student"]
    stacked = measurable(teacher, ("encoders", "imu")).student(4)
    assert [term.history for term in stacked.observation.terms] == [4, 1, 4, 4], "what is told tells nothing new"
    assert stacked.observation.history is not None
    assert stacked.observation.history.model_dump() == {
        "layout": "term_major",
        "order": "oldest_first",
        "fill": "first",
    }
    assert stacked.observation_size == 4 * (2 + 3 + 4) + 3


def test_a_history_keeps_its_layout() -> None:
    """The contract's own layout stays; one step of all terms together takes every term along."""
    terms = [term | {"history": 2} for term in ({"term": "base_ang_vel"}, PRIVILEGED, {"term": "velocity_command"})]
    found = measurable(contract_of(*terms, history=LAYOUT), ["imu"])
    for history in (None, 6):
        student = found.student(history)
        assert student.observation.history is not None
        assert student.observation.history.model_dump() == LAYOUT
        assert [term.history for term in student.observation.terms] == [history or 2] * 2


def test_groups_stay_or_go_with_their_terms() -> None:
    """A history group without a term left is left out, and --history says where else to write its steps."""
    groups = {name: {"steps": [0, 2], "layout": "term_major", "fill": "zero"} for name in ("a", "b")}
    terms = (PRIVILEGED | {"group": "a"}, {"term": "base_ang_vel", "group": "b"}, {"term": "joint_pos"})
    found = measurable(contract_of(*terms, groups=groups), ["imu"])
    assert set(found.student().observation.groups) == {"b"}
    with pytest.raises(ContractError, match=r"leave --history out, and mend observation\.groups"):
        found.student(3)


def test_what_only_dropped_terms_need_goes_too() -> None:
    """A reference motion that no term reads any more, and pictures without a camera."""
    image = {"name": "hand", "height": 4, "width": 4, "channels": 3, "layout": "nchw", "dtype": "uint8", "scale": 1.0}
    terms = ({"term": "motion_anchor_pos_b"}, {"term": "joint_pos"})
    contract = contract_of(*terms, motion={"anchor": "pelvis", "align": "yaw", "end": "hold"}, images=[image])
    blind = measurable(contract, ["encoders"])
    assert blind.dropped == ("motion_anchor_pos_b", "hand")
    assert (blind.student().motion, blind.student().images) == (None, ())
    seeing = measurable(contract, ["camera", "encoders", "contacts"])
    assert (seeing.student().images, seeing.idle) == (contract.images, ("contacts",))


@pytest.mark.parametrize(
    ("sensors", "message"),
    [
        (
            ["contacts"],
            "contacts gives none of its terms(.*\n)+.*base_lin_vel(.*\n)+Name the sensors that the robot has",
        ),
        (["imu", "encodrs"], "'encodrs' is no sensor; did you mean 'encoders'.*Known: encoders "),
        (["imu", "imu"], "'imu' is named twice"),
        ([], "no sensor is named"),
    ],
)
def test_a_student_that_would_be_blind_is_refused(sensors: list[str], message: str) -> None:
    """A contract of privileged terms alone, sensors that it does not read, or none: nothing is written."""
    contract = contract_of(PRIVILEGED, {"term": "last_action"})
    with pytest.raises(ContractError, match=message):
        measurable(contract, sensors).student()


ROBOT = """<mujoco><worldbody><body name="base">{free}<geom size="1"/>
<body name="thigh"><joint name="left_hip"/><geom size="1"/>
<body name="spring"><joint name="passive"/><geom size="1"/><site name="toe"/></body></body></body></worldbody>
{more}</mujoco>"""
FOLLOWS = '<equality><joint joint1="passive" joint2="left_hip"/></equality>'


def test_the_command_reads_the_robot_and_writes_the_student(tmp_path: Path) -> None:
    """Joints that lead to a link must have encoders; the file that is written is the contract that was shown."""
    toe = {"term": "link_pos", "link": "toe", "frame": "base"}
    file, robot, out = tmp_path / "c.yaml", tmp_path / "r.xml", tmp_path / "student.yaml"
    file.write_text(contract_of(PRIVILEGED, toe, {"term": "joint_pos"}).to_yaml())
    words = ["contract", "measurable", str(file), "--sensors", "encoders", "--robot"]

    def said(free: str = "<freejoint/>", more: str = "", *options: str) -> tuple[int, str]:
        robot.write_text(ROBOT.format(free=free, more=more))
        done = CliRunner().invoke(app, [*words, str(robot), *options])
        return done.exit_code, done.output

    code, text = said()
    assert code == 0
    assert "joint 'passive' on the way to link 'toe' is none of the contract's" in text
    code, text = said("<freejoint/>", FOLLOWS, "--write", str(out), "--history", "2")
    assert code == 0, text
    student = load_contract(out)
    assert [term.label for term in student.observation.terms] == ["link_pos", "joint_pos"]
    assert student.widths() in text
    assert f"next: policy-port distil TEACHER --teacher-contract {file} --student-contract {out}" in text
    free = "<freejoint/>"
    assert "exists; name another file" in said(free, "", "--write", str(out))[1]
    assert said(free, "", "--write", str(out), "--force")[0] == 0
    code, text = said(free, "", "--write", str(file), "--force")
    assert (code, "is the teacher's own contract; name another file" in text) == (2, True)
    file.write_text(contract_of(toe | {"link": "toes"}, {"term": "joint_pos"}).to_yaml())
    assert "names link 'toes', which the robot file does not have; did you mean 'toe'?" in said()[1]
    file.write_text(contract_of(PRIVILEGED, {"term": "joint_pos"}, base={"floating": False}).to_yaml())
    code, text = said()
    assert (code, "Set base.floating: true" in text) == (2, True)
    assert said("")[0] == 0
    file.write_text(file.read_text().replace("floating: false", "floating: true"))
    assert said()[0] == 0
    code, text = said("")
    assert (code, "is bolted down" in text, "Set base.floating: false" in text) == (2, True, True)
    (tmp_path / "arm.xml").write_text(ROBOT.format(free="", more="").replace("left_hip", "elbow"))
    done = CliRunner().invoke(app, [*words, str(tmp_path / "arm.xml")])
    assert (done.exit_code, "its own are elbow, passive. Name the file of the" in done.output) == (2, True)


def test_a_kind_without_a_row_is_a_bug() -> None:
    """A term that the table forgot is never taken for one that sensors give."""

    class Odd:
        term = "odd"

    with pytest.raises(NotImplementedError, match="odd"):
        row_of(Odd(), contract_of({"term": "joint_pos"}))


def test_the_documents_show_this_table() -> None:
    """docs/distil.md has the table as the program has it."""
    assert table_text() in (ROOT / "docs" / "distil.md").read_text(encoding="utf-8")
