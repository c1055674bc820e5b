"""Pictures of an arm and the joint positions they were taken at: poses.yaml, read strictly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from policy_port import counts
from policy_port.camera.links import Arm
from policy_port.camera.masks import CHANGED, by_background, by_colour, by_outline, cleaned
from policy_port.camera.silhouette import Mask, Shot
from policy_port.camera.stills import read_still
from policy_port.contract.mapping import RobotMapping
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.errors import CameraError, closest
from policy_port.trace import Trace

POSES = "poses.yaml"
"""The table of joint positions in a folder of pictures."""
SLACK = 0.35
"""How far beyond its limit a joint may be by its table [rad]: zeros are off, limits are rounded."""
UNITS = {"rad": 1.0, "deg": math.pi / 180.0}


class PictureOfPose(Strict):
    """One picture."""

    file: str
    """Beside the table."""
    joint_pos: dict[str, float] | None = None
    """By joint name, in the table's unit."""
    step: Annotated[int, Field(ge=0, le=counts.ITERATIONS)] | None = None
    """Instead of `joint_pos`: the step of the trace that it was taken at."""
    mask: str | None = None
    """A picture beside the table, other than black where the arm is."""
    outline: list[list[tuple[float, float]]] | None = None
    """Instead of a mask: polygons of pixels, column and row, as a person clicked them."""

    @model_validator(mode="after")
    def _one_of_each(self) -> PictureOfPose:
        if (self.joint_pos is None) == (self.step is None):
            raise ValueError(f"{self.file} needs joint_pos, or the step of a trace: one of the two")
        if self.mask is not None and self.outline is not None:
            raise ValueError(f"{self.file} has a mask and an outline; keep one of the two")
        if any(len(polygon) < 3 for polygon in self.outline or ()):
            raise ValueError(f"{self.file}: an outline needs three corners at least")
        return self


class PosesFile(Strict):
    """poses.yaml."""

    poses_version: Literal[1]
    """Version of this format."""
    unit: Literal["rad", "deg", "lerobot"]
    """Of the positions: the robot description's joints in radians or degrees, or LeRobot's own numbers of its motors,
    which --through turns into radians."""
    trace: str | None = None
    """A trace of `play --real`, relative to the table, whose steps pictures name."""
    pictures: list[PictureOfPose]
    """In any order."""


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """Pictures with their masks."""

    shots: tuple[Shot, ...]
    """In the table's order."""
    pictures: tuple[NDArray[np.uint8], ...]
    """RGB, each of shape (rows, columns, 3)."""
    files: tuple[Path, ...]
    """What was read."""


def read_shots(
    folder: Path,
    arm: Arm,
    *,
    background: Path | None = None,
    colours: Sequence[tuple[int, int, int]] = (),
    through: RobotMapping | None = None,
    masks: bool = True,
) -> Photographs:
    """Read pictures of an arm, and find it in them.

    Args:
        folder: Holds pictures and poses.yaml.
        arm: What its joints are called.
        background: The same camera's picture without the arm; where a picture names no mask of its own.
        colours: The arm's colours, RGB, instead of a background.
        through: From the arm's joints to LeRobot's, for tables in LeRobot's numbers.
        masks: Whether the arm is looked for; otherwise the masks are empty.

    Raises:
        CameraError: With file and key, for a table that is malformed, positions that can't be, pictures that can't be
            read or are of several sizes, and an arm that isn't seen.
    """
    table = folder / POSES
    if not table.is_file():
        has = ", ".join(sorted(file.name for file in folder.iterdir())[:5]) if folder.is_dir() else "no such folder"
        raise CameraError(f"{folder}: needs {POSES}, the table of joint positions; there is: {has}")
    poses = parse(PosesFile, read_yaml(table, CameraError), CameraError)
    if (poses.unit == "lerobot") != (through is not None):
        raise CameraError(
            f"{table}: unit: {poses.unit}, "
            + (
                "which only a joint map can turn into radians: give --through"
                if through is None
                else "and --through, which is for LeRobot's numbers; write unit: lerobot, or leave --through out"
            )
        )
    empty = None if background is None else read_still(background)
    files = [table] + ([] if background is None else [background])
    shots, pictures = [], []
    for item, joint_pos in zip(poses.pictures, _positions(poses, table, arm, through), strict=True):
        file = folder / item.file
        picture = read_still(file)
        if pictures and picture.shape != pictures[0].shape:
            raise CameraError(
                f"{file}: is {_size(picture)}, {poses.pictures[0].file} is {_size(pictures[0])}; one camera's pictures "
                "have one size"
            )
        mask = np.zeros(picture.shape[:2], np.bool_)
        if masks:
            mask = _mask(item, folder, picture, empty, colours)
            _refuse_share(file, mask)
        shots.append(Shot(name=item.file, joint_pos=joint_pos, mask=mask))
        pictures.append(picture)
        files += [file] + ([] if item.mask is None else [folder / item.mask])
    return Photographs(shots=tuple(shots), pictures=tuple(pictures), files=tuple(files))


def _refuse_share(file: Path, mask: Mask) -> None:
    """Refuse a mask that leaves out the arm, or hardly anything."""
    if mask.mean() < 1e-3:
        raise CameraError(
            f"{file}: the robot is not in view: the mask has {int(mask.sum())} pixels of {mask.size}. Take the "
            "picture out of the table, or look at its mask, background or colours"
        )
    if mask.mean() > CHANGED:
        raise CameraError(
            f"{file}: {mask.mean():.0%} of it would be the arm: a mask is white where the arm is and black "
            "elsewhere, and a --colour is the arm's alone"
        )


def _size(picture: NDArray[np.uint8]) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _mask(
    item: PictureOfPose,
    folder: Path,
    picture: NDArray[np.uint8],
    empty: NDArray[np.uint8] | None,
    colours: Sequence[tuple[int, int, int]],
) -> Mask:
    size = (picture.shape[0], picture.shape[1])
    if item.mask is not None:
        mask = read_still(folder / item.mask)
        if mask.shape != picture.shape:
            raise CameraError(f"{folder / item.mask}: is {_size(mask)}, its picture {item.file} is {_size(picture)}")
        return cleaned(mask.max(axis=2) > 127)
    if item.outline is not None:
        corner = next(
            (at for part in item.outline for at in part if not (0 <= at[0] <= size[1] and 0 <= at[1] <= size[0])), None
        )
        if corner is not None:
            raise CameraError(
                f"{folder / POSES}: {item.file}: the corner {list(corner)} of its outline is outside of the picture, "
                f"which is {_size(picture)}: write column and row, in this order"
            )
        return by_outline(item.outline, size)
    if empty is not None:
        if empty.shape != picture.shape:
            raise CameraError(
                f"the background is {_size(empty)}, {folder / item.file} is {_size(picture)}: photograph the camera's "
                "whole frame, with `policy-port camera background --whole`"
            )
        try:
            return by_background(picture, empty)
        except CameraError as cause:
            raise CameraError(f"{folder / item.file}: {cause}") from None
    if colours:
        return by_colour(picture, colours)
    raise CameraError(
        f"{folder / POSES}: nothing says where the arm is in {item.file}: give --background, the arm's --colour, or "
        "the picture's mask or outline in the table"
    )


def _positions(poses: PosesFile, table: Path, arm: Arm, through: RobotMapping | None) -> list[dict[str, float]]:
    """Joint positions of all pictures [rad]."""
    trace = None if poses.trace is None else Trace(table.parent / poses.trace)
    found = []
    for item in poses.pictures:
        where = f"{table}: {item.file}"
        given = item.joint_pos
        if given is None:
            given = _traced(where, trace, item.step or 0)
            found.append(_known(where, given, arm))
            continue
        if through is not None:
            given = _radians(where, given, through)
        else:
            given = {name: value * UNITS[poses.unit] for name, value in given.items()}
        found.append(_known(where, given, arm))
    _refuse_beyond(table, poses, found, arm)
    return found


def _traced(where: str, trace: Trace | None, step: int) -> dict[str, float]:
    if trace is None:
        raise CameraError(f"{where} names a step, and the table no trace: write trace: FILE.npz")
    rows = trace["joint_pos"]
    if step >= len(rows):
        raise CameraError(f"{where} names step {step}, and the trace has {len(rows)}")
    names = trace.header["joint_names"]
    return dict(zip(names, np.asarray(rows[step], dtype=np.float64).reshape(-1).tolist(), strict=True))


def _radians(where: str, given: dict[str, float], through: RobotMapping) -> dict[str, float]:
    sources = {target.removesuffix(".pos"): source for source, target in through.pairs}
    found = {}
    for name, value in given.items():
        plain = name.removesuffix(".pos")
        if plain not in sources:
            raise CameraError(
                f"{where}: the joint map has no '{name}'{closest(plain, sources) or '.'} Its names in LeRobot are: "
                f"{', '.join(sources)}"
            )
        conversion = through.conversion(sources[plain])
        found[sources[plain]] = (value - conversion.offset) / conversion.slope
    return found


def _known(where: str, given: dict[str, float], arm: Arm) -> dict[str, float]:
    for name in given:
        if name not in arm.joints:
            raise CameraError(
                f"{where}: {arm.path.name} has no joint '{name}'{closest(name, arm.joints) or '.'} Its joints are: "
                f"{', '.join(arm.joints)}"
            )
    if missing := [name for name in arm.joints if name not in given]:
        raise CameraError(f"{where}: joint '{missing[0]}' is missing; give all of {', '.join(arm.joints)}")
    return given


def _refuse_beyond(table: Path, poses: PosesFile, found: list[dict[str, float]], arm: Arm) -> None:
    """Refuse positions that the joints can't have: another unit, most often."""
    limits = arm.limits

    def beyond(factor: float) -> tuple[str, str, float] | None:
        for item, joint_pos in zip(poses.pictures, found, strict=True):
            for name, (low, high) in limits.items():
                if not low - SLACK <= factor * joint_pos[name] <= high + SLACK:
                    return item.file, name, joint_pos[name]
        return None

    worst = beyond(1.0)
    if worst is None:
        return
    file, name, value = worst
    degrees = poses.unit == "rad" and beyond(math.pi / 180.0) is None
    raise CameraError(
        f"{table}: {file}: joint '{name}' at {value:.4g} rad is beyond its limits, {limits[name][0]:.4g} to "
        f"{limits[name][1]:.4g} rad. "
        + (
            "All of the table would be within them in degrees: write unit: deg, or unit: lerobot and --through where "
            "the numbers are LeRobot's"
            if degrees
            else "Is the unit another, or the joint another's?"
        )
    )
