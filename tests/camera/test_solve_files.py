"""From a folder of pictures to view.yaml, and everything that writes nothing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from policy_port.camera import solve_files
from policy_port.camera.links import Arm
from policy_port.camera.silhouette import Shot
from policy_port.camera.solve_files import Request, solve_view
from policy_port.camera.view import ViewFile, load_view, view_fields, view_text
from policy_port.cli.app import app
from policy_port.errors import CameraError
from tests.camera.conftest import EFFORT, TRUE, off
from tests.camera.test_board import CHARUCO, pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shots: tuple[Shot, ...]) -> Path:
    """White silhouettes on black: pictures, and their own masks by colour."""
    place = tmp_path_factory.mktemp("pictures")
    entries = []
    for shot in shots:
        cv2.imwrite(str(place / shot.name), 255 * shot.mask.astype(np.uint8))
        entries.append({"file": shot.name, "joint_pos": dict(shot.joint_pos), "mask": shot.name})
    (place / "poses.yaml").write_text(yaml.safe_dump({"poses_version": 1, "unit": "rad", "pictures": entries}))
    start = TRUE.moved([0.02, 0.01, -0.02], [0.02, 0.0, 0.03])
    (place / "start.yaml").write_text(view_text(ViewFile(**view_fields(start))))
    lens = {"fov": TRUE.fov, "size": list(TRUE.size), "intrinsics_version": 1}
    (place / "lens.yaml").write_text(yaml.safe_dump(lens))
    (place / "other.yaml").write_text(yaml.safe_dump(lens | {"size": [480, 640]}))
    return place


def test_view_overlay_and_report(folder: Path, arm: Arm, tmp_path: Path) -> None:
    """With --intrinsics and without --fov, a solve writes a view with source, uncertainty, overlap, and a report."""
    request = Request(
        folder=folder,
        robot=arm.path,
        start=folder / "start.yaml",
        intrinsics=folder / "lens.yaml",
        colours=((255, 255, 255),),
        effort=EFFORT,
    )
    found, notes = solve_view(request, tmp_path / "view.yaml", report=True, progress=lambda _: None)
    assert load_view(tmp_path / "view.yaml") == found
    assert off(found.view)[0] < 0.005
    assert found.source["method"] == "silhouettes"
    assert len(found.source["pictures_sha256"]) == 64
    assert found.uncertainty is not None
    assert found.overlap is not None
    assert not notes
    overlay = cv2.imread(str(tmp_path / "view.png"))
    assert overlay is not None
    assert overlay.shape == (6 * 300, 800, 3)
    assert "overlap" in (tmp_path / "view.html").read_text()
    with pytest.raises(CameraError, match=r"640x480, and these are 160x120.*Calibrate it"):
        solve_view(
            Request(folder=folder, robot=arm.path, intrinsics=folder / "other.yaml"),
            tmp_path / "b.yaml",
            report=False,
            progress=lambda _: None,
        )
    assert not (tmp_path / "b.yaml").exists()


def test_masks_that_miss_half_of_the_arm(folder: Path, arm: Arm, tmp_path: Path) -> None:
    """What fits nothing is refused with the way on: --masks shows what was taken for the arm, --colour finds it all."""
    torn = shutil.copytree(folder, tmp_path / "torn")
    table = yaml.safe_load((torn / "poses.yaml").read_text())
    for number, entry in enumerate(table["pictures"]):
        mask = cv2.imread(str(folder / entry["file"]), cv2.IMREAD_GRAYSCALE)
        assert mask is not None
        columns = np.flatnonzero(mask.any(axis=0))
        half = (
            slice(None, int(columns[len(columns) // 2])) if number % 2 else slice(int(columns[len(columns) // 2]), None)
        )
        mask[:, half] = 0
        entry["mask"] = f"half_{number}.png"
        cv2.imwrite(str(torn / entry["mask"]), mask)
    (torn / "poses.yaml").write_text(yaml.safe_dump(table))
    asked = Request(
        folder=torn, robot=arm.path, start=folder / "start.yaml", intrinsics=folder / "lens.yaml", effort=EFFORT
    )

    def solved(request: Request) -> ViewFile:
        return solve_view(request, tmp_path / "view.yaml", report=False, progress=lambda _: None)[0]

    with pytest.raises(
        CameraError, match=r"Look at what was taken for the arm: --masks FOLDER.*a pale table.*--colour"
    ):
        solved(replace(asked, masks=tmp_path / "FOLDER"))
    assert len(list((tmp_path / "FOLDER").iterdir())) == len(table["pictures"])
    assert not (tmp_path / "view.yaml").exists()
    for entry in table["pictures"]:
        del entry["mask"]
    (torn / "poses.yaml").write_text(yaml.safe_dump(table))
    assert off(solved(replace(asked, colours=((255, 255, 255),))).view)[0] < 0.005


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "--fov free"),
        (["--board", CHARUCO, "--masks", "masks"], "--masks goes without --board"),
        (["--fov", "wide"], "or free"),
        (["--fov", "0.9"], "5 to 150"),
        (["--fov", "50", "--intrinsics", "lens.yaml"], "one of"),
        (["--fov", "50", "--colour", "white"], "#RRGGBB"),
        (["--fov", "50", "--through", "nothing"], "neither a robot file nor a joint map"),
        (["--fov", "50", "--start", "lens.yaml"], "position"),
        (["--fov", "50", "--board", "chess:7x5"], "write charuco"),
        (["--fov", "50", "--background", "lens.yaml"], "no picture"),
        (["--intrinsics", "start.yaml"], "unknown key"),
    ],
)
def test_bad_input_writes_nothing(folder: Path, arm: Arm, tmp_path: Path, given: list[str], message: str) -> None:
    """Options that don't go together, or are none, end with 2, a reason, and no file."""
    out = tmp_path / "view.yaml"
    paths = [str(folder / part) if part.endswith(".yaml") else part for part in given]
    ended = _called("solve", str(folder), "--robot", str(arm.path), "--out", str(out), *paths)
    assert ended.exit_code == 2
    assert message in ended.output
    assert not list(tmp_path.iterdir())


def test_the_lens_is_asked_for(folder: Path, arm: Arm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a lens, and with two, the command says what to give; each of the three ways then finds the camera."""
    monkeypatch.setattr(
        solve_files, "solve_view", lambda request, out, **more: solve_view(replace(request, effort=EFFORT), out, **more)
    )

    def solved(*given: str) -> Any:
        paths = str(folder), "--robot", str(arm.path), "--out", str(tmp_path / "view.yaml"), "--force"
        return _called("solve", *paths, *given)

    lens, start, degrees = str(folder / "lens.yaml"), str(folder / "start.yaml"), f"{np.degrees(TRUE.fov):.3f}"
    for given in ((), ("--intrinsics", lens, "--fov", degrees)):
        assert solved(*given).exit_code == 2
    assert "give the lens: --intrinsics FILE, --fov DEG, or --fov free" in " ".join(_words(solved().output))
    assert "give one of --intrinsics and --fov" in " ".join(_words(solved("--intrinsics", lens, "--fov", "9").output))
    for given in (("--fov", degrees), ("--intrinsics", lens, "--start", start), ("--fov", "free", "--start", start)):
        ended = solved(*given)
        assert ended.exit_code == 0, ended.output
        assert off(load_view(tmp_path / "view.yaml").view)[0] < 0.01


def _words(text: str) -> list[str]:
    """Words of an error in Typer's frame."""
    return text.replace("│", " ").split()


def test_calibrate_writes_a_lens(tmp_path: Path) -> None:
    """`camera calibrate` writes intrinsics that `camera solve` reads, and replaces nothing unasked."""
    for name, picture in pictures(35.0).items():
        cv2.imwrite(str(tmp_path / name), picture)
    out = tmp_path / "intrinsics.yaml"
    ended = _called("calibrate", str(tmp_path), "--board", CHARUCO, "--out", str(out))
    assert ended.exit_code == 0, ended.output
    assert "reprojection error" in ended.output
    assert yaml.safe_load(out.read_text())["size"] == [240, 320]
    assert "--force" in _called("calibrate", str(tmp_path), "--board", CHARUCO, "--out", str(out)).output
    assert _called("calibrate", str(tmp_path), "--board", CHARUCO, "--out", str(out), "--force").exit_code == 0
    (tmp_path / "empty").mkdir()
    assert (
        "holds no pictures"
        in _called("calibrate", str(tmp_path / "empty"), "--board", CHARUCO, "--out", str(tmp_path / "b.yaml")).output
    )


def _called(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["camera", *arguments])
