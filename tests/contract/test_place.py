"""Claims about points and frames of base terms: they are stated, kept, shown, and never silently wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.contract import Contract, RobotMapping, load_contract
from policy_port.contract.base_terms import MeasuredTerm
from policy_port.contract.spec import unset_values
from policy_port.descriptors.describe import describe
from policy_port.errors import ContractError
from tests.samples import LEGS, contract_data

POINTS: dict[str, Any] = {
    "at link": "link",
    "at com": "com",
    "at site imu": {"site": "imu"},
    "at sensor imu_lin_vel": {"sensor": "imu_lin_vel"},
    "at [0.1, 0, -0.076]": [0.1, 0, -0.076],
}


def contract(*terms: dict[str, Any], **changes: Any) -> Contract:
    return Contract.model_validate(contract_data(observation={"terms": list(terms)}, **changes))


def velocity(**stated: Any) -> dict[str, Any]:
    return {"term": "base_lin_vel", **stated}


@pytest.mark.parametrize("words", POINTS)
def test_a_stated_point_is_kept_and_shown(tmp_path: Path, words: str) -> None:
    """Each kind of point, link too, comes back from the file and stands in the contract's table."""
    stated = contract(velocity(point=POINTS[words]))
    path = tmp_path / "c.yaml"
    path.write_text(stated.to_yaml())
    assert load_contract(path) == stated
    assert Contract.model_validate_json(stated.model_dump_json()) == stated
    assert "point" in yaml.safe_load(path.read_text())["observation"]["terms"][0]
    assert f"base_lin_vel {words} " in describe(stated)


@pytest.mark.parametrize("kind", ["base_lin_vel", "base_ang_vel", "projected_gravity"])
@pytest.mark.parametrize("frame", [{"site": "imu"}, {"sensor": "gyro"}, "link"])
def test_a_stated_frame_is_kept_and_shown(tmp_path: Path, kind: str, frame: Any) -> None:
    """Each vector of the base can state whose axes it is given in."""
    stated = contract({"term": kind, "frame": frame})
    path = tmp_path / "c.yaml"
    path.write_text(stated.to_yaml())
    assert load_contract(path) == stated
    assert f"{kind} in {' '.join(next(iter(frame.items()))) if isinstance(frame, dict) else frame}" in describe(stated)


def test_what_states_nothing_keeps_its_yaml() -> None:
    """A contract from before there were points has the same text, and so the same hash."""
    assert "point" not in contract(velocity(), {"term": "base_ang_vel"}).to_yaml()
    assert "frame" not in contract(velocity(), {"term": "base_ang_vel"}).to_yaml()


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (
            velocity(point="centre"),
            "point 'centre' is not known. Write link, com, {site: NAME} or {sensor: NAME}, or",
        ),
        (velocity(point="con"), "did you mean 'com'?"),
        (velocity(point="imu"), "point 'imu' is not known"),
        (velocity(point=[0.0, 1.0]), "is no offset, which is three numbers"),
        (velocity(point=[0.0, 1.0, 2.0, 3.0]), "is no offset, which is three numbers"),
        (velocity(point=[0.0, 1.0, "a"]), "is no offset, which is three numbers"),
        (velocity(point=[0.0, 1.0, True]), "is no offset, which is three numbers"),
        (velocity(point=[0.0, 0.0, -76.05]), "an offset is in metres"),
        (velocity(point={"sites": "imu"}), "unknown key 'sites'; did you mean 'site'?"),
        (velocity(point={"site": "a", "sensor": "b"}), "point names one place"),
        (velocity(point={}), "point names one place"),
        (velocity(point={"site": 5}), "point names one place"),
        (velocity(point={"sensor": ""}), "point names one place"),
        (velocity(point=3.0), "point names one place"),
        (velocity(frame="imu"), "frame 'imu' is not known; write link, {site: NAME} or {sensor: NAME}"),
        (velocity(frame="com"), "frame 'com' is not known"),
        (velocity(frame=[0.0, 0.0, 0.0]), "is not known; write link"),
        ({"term": "base_ang_vel", "point": "com"}, "unknown key 'point'"),
        ({"term": "projected_gravity", "point": "com"}, "unknown key 'point'"),
        ({"term": "velocity_command", "frame": "link"}, "unknown key 'frame'"),
    ],
)
def test_a_wrong_place_is_told_where_it_stands(tmp_path: Path, term: dict[str, Any], message: str) -> None:
    """Every mistake of a point or frame names file, line, what was given and what may stand there."""
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(contract_data(observation={"terms": [term]}), sort_keys=False))
    with pytest.raises(ContractError) as caught:
        load_contract(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")
    assert "observation.terms[0]" in str(caught.value)


@pytest.mark.parametrize("stated", [{"point": "com"}, {"point": "link"}, {"frame": {"site": "imu"}}])
def test_a_place_is_stated_once(stated: dict[str, Any]) -> None:
    """base.frame and a term's own place exclude each other; following the message's advice mends it."""
    with pytest.raises(ValueError, match=r"leave base.frame out and give each base term its `frame`"):
        contract(velocity(**stated), base={"floating": True, "frame": "imu"})
    place = {"site": "imu"}
    mended = contract(velocity(point=place, frame=place), {"term": "base_ang_vel", "frame": place})
    assert all(isinstance(term, MeasuredTerm) and term.moved for term in mended.observation.terms)


def test_a_point_that_nobody_states_is_listed() -> None:
    """Import and `contract check` say that the link's origin was taken, and what usual trainings mean."""
    said = "whose velocity it is, is not stated; taken as the link's origin"
    assert any(said in line for line in unset_values(contract(velocity())))
    assert not any(said in line for line in unset_values(contract(velocity(point="link"))))
    assert not any(said in line for line in unset_values(contract(velocity(), base={"floating": True, "frame": "imu"})))


def same_robot(**changes: Any) -> dict[str, Any]:
    return {"source_joint_names": list(LEGS), "target_joint_names": list(LEGS), **changes}


@pytest.mark.parametrize("key", ["point", "frame"])
def test_a_remap_moves_no_term(key: str) -> None:
    """A mapping that asks for another point or frame is refused with the reason and what to do."""
    with pytest.raises(ValueError, match=f"can't change the {key} of a term: .* write the place's offset"):
        RobotMapping.model_validate(same_robot(terms={"base_lin_vel": {key: "com"}}))


def test_a_target_that_gives_another_point_is_refused(tmp_path: Path) -> None:
    """`map check` against a target at another point exits with 2, says why, and the remedy passes."""
    offset = [0.0, 0.0, -0.07605]
    files = {"map": same_robot()}
    for name, point in (("source", "com"), ("target", None), ("mended", "com"), ("offset", offset)):
        files[name] = contract_data(observation={"terms": [velocity(point=point)]})
    for name, data in files.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(data))
    where = {name: str(tmp_path / f"{name}.yaml") for name in files}
    asked = ["map", "check", where["map"], "--source", where["source"], "--target"]
    refused = CliRunner().invoke(app, [*asked, where["target"]])
    assert refused.exit_code == 2
    told = refused.output
    assert "point: com against link" in told
    assert "A remap changes neither point nor frame" in told
    assert CliRunner().invoke(app, [*asked, where["mended"]]).exit_code == 0
    by_offset = ["map", "check", where["map"], "--source", where["offset"], "--target", where["offset"]]
    assert CliRunner().invoke(app, by_offset).exit_code == 0
