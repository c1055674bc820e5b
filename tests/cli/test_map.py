"""Claims about `policy-port map`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.contract import Contract, load_mapping
from policy_port.remap import derive_target
from tests.samples import LEGS, contract_data

REVERSED = {"source_joint_names": list(LEGS), "target_joint_names": list(LEGS[::-1])}


def run(*args: Any) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["map", *map(str, args)])
    return result.exit_code, result.output


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Mapping, source contract and the target contract that follows from them."""
    mapping, source, target = tmp_path / "m.yaml", tmp_path / "s.yaml", tmp_path / "t.yaml"
    mapping.write_text(yaml.safe_dump(REVERSED))
    contract = Contract.model_validate(contract_data())
    source.write_text(contract.to_yaml())
    target.write_text(derive_target(contract, load_mapping(mapping)).to_yaml())
    return mapping, source, target


def test_show_prints_every_joint_with_both_indices_and_the_terms(files: tuple[Path, Path, Path]) -> None:
    """The table has one row per joint; with a contract it says where each term is read from."""
    code, output = run("show", files[0], "--source", files[1])
    assert code == 0
    row = next(line for line in output.splitlines() if line.startswith("left_knee"))
    assert row.split() == ["left_knee", "left_knee", "1", "2", "+1", "1", "0", "rad"]
    assert "joint_pos_rel [6-9] <- target [9, 8, 7, 6]" in output


def test_check_passes_on_the_contracts_it_belongs_to(files: tuple[Path, Path, Path]) -> None:
    """Source and target contracts that follow from each other are fine."""
    code, output = run("check", files[0], "--source", files[1], "--target", files[2])
    assert (code, "4 joints correspond" in output) == (0, True)


def test_check_names_what_the_target_has_otherwise(files: tuple[Path, Path, Path]) -> None:
    """A target contract with another default pose is refused, naming joint and both numbers."""
    text = files[2].read_text().replace("default: 0.2", "default: 0.7")
    files[2].write_text(text)
    code, output = run("check", files[0], "--source", files[1], "--target", files[2])
    assert code == 2
    assert "joints.left_knee.default: 0.2 against 0.7" in output


def test_check_tells_a_swapped_direction(files: tuple[Path, Path, Path]) -> None:
    """Given the target's contract as the source, the mapping is refused as swapped."""
    code, output = run("check", files[0], "--source", files[2])
    assert code == 2
    assert "evidently swapped" in output


def test_check_warns_of_a_mapping_by_position_against_the_names(tmp_path: Path) -> None:
    """The identity mapping between two orders of the same names passes with a warning."""
    path = tmp_path / "m.yaml"
    path.write_text(yaml.safe_dump(REVERSED | {"match": "position"}))
    code, output = run("check", path)
    assert code == 0
    assert "warning: match: position pairs joints that have a counterpart of their own name" in output
