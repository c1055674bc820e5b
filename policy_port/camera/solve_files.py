"""From a folder of pictures to a view.yaml with its overlay: what `camera solve` reads and writes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from policy_port.camera.board import Board, LensFile, by_held_board, calibrate, find_all
from policy_port.camera.links import Arm, Links
from policy_port.camera.shots import Photographs, read_shots
from policy_port.camera.silhouette import Outlines, Zeros
from policy_port.camera.solve import Effort, Problem, Solved, solve
from policy_port.camera.stills import read_still, write_still
from policy_port.camera.view import LensFields, View, ViewFile, load_view, view_fields, view_text
from policy_port.contract.mapping import RobotMapping
from policy_port.contract.yaml_file import parse, read_yaml
from policy_port.errors import CameraError
from policy_port.files import hash_data, sha256, write_atomic
from policy_port.report import Picture, Report, Table, write_report

SHOWN = 6
"""Pictures in an overlay at most."""
WIDTH = 400
"""Columns of each picture in it."""
GUESSED_FOV = math.radians(50.0)
"""Where the search for a field of view starts that nobody knows."""
IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks for."""

    folder: Path
    """Of the pictures."""
    robot: Path | str
    """URDF, MJCF, or the name of a robot that comes with ManiSkill."""
    intrinsics: Path | None = None
    """What `camera calibrate` wrote."""
    fov: float | None = None
    """Field of view from top to bottom [rad]; known for sure."""
    free_fov: bool = False
    """Whether the field of view is solved for."""
    principal: bool = False
    """Whether the principal point is."""
    zeros: bool = False
    """Whether joints' zeros are."""
    start: Path | None = None
    """A view.yaml to start from."""
    background: Path | None = None
    """The camera's picture without the arm."""
    colours: tuple[tuple[int, int, int], ...] = ()
    """The arm's, RGB."""
    through: RobotMapping | None = None
    """To LeRobot's numbers."""
    board: str | None = None
    """A board that the arm holds."""
    board_link: str | None = None
    """The link that it is fixed to."""
    masks: Path | None = None
    """Folder for pictures of what was taken for the arm."""
    effort: Effort = field(default_factory=Effort)
    """How much is computed."""


def solve_view(
    request: Request, out: Path, *, report: bool, progress: Callable[[str], None]
) -> tuple[ViewFile, list[str]]:
    """Solve for a camera's pose and write it down; where nothing fits, nothing is written.

    Args:
        request: What is asked for.
        out: The view.yaml; overlay and report get its name with other endings.
        report: Whether a report is written.
        progress: Told what is being done.

    Returns:
        What was written into `out`, and what a person should know of it.

    Raises:
        CameraError: When an input is unfit, or the pictures don't tell the pose.
    """
    arm = Arm.load(request.robot)
    by_board = request.board is not None
    taken = _taken(request, arm)
    lens = _lens(request, taken)
    hashes = {file.name: sha256(file) for file in taken.files}
    source = {"robot": str(request.robot), "robot_sha256": sha256(arm.path), "pictures_sha256": hash_data(hashes)}
    links = Links(arm, request.effort.points)
    if by_board:
        found, notes = _by_board(request, links, taken, lens)
        write_atomic(out, view_text(found.model_copy(update={"source": {"method": "board"} | source})))
        return found, notes
    problem = Problem(
        links=links,
        shots=taken.shots,
        lens=lens,
        near=request.start is not None,
        fov=request.free_fov,
        principal=request.principal,
        zeros=request.zeros,
        effort=request.effort,
        progress=progress,
    )
    solved = solve(problem)
    found = ViewFile(
        **view_fields(solved.view),
        source={"method": "silhouettes"} | source,
        uncertainty=solved.uncertainty,
        overlap=solved.overlap,
        zeros=solved.zeros,
    )
    overlay = draw_overlay(Outlines(links, taken.shots, area=request.effort.area), taken, solved)
    write_atomic(out, view_text(found))
    write_atomic(out.with_suffix(".png"), overlay)
    if report:
        write_report(out.with_suffix(".html"), _report(request, taken, solved, overlay))
    return found, list(solved.notes)


def _taken(request: Request, arm: Arm) -> Photographs:
    """The pictures, and where the arm is in them, which is written where that was asked for."""
    by_board = request.board is not None
    taken = read_shots(
        request.folder,
        arm,
        background=request.background,
        colours=request.colours,
        through=request.through,
        masks=not by_board,
    )
    if request.masks is not None and not by_board:
        write_masks(request.masks, taken)
    return taken


def write_masks(folder: Path, taken: Photographs) -> None:
    """Write each picture with the edge of what was taken for the arm, so that a person sees what is compared.

    Raises:
        OutputError: When they can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for shot, picture in zip(taken.shots, taken.pictures, strict=True):
        edges, _ = cv2.findContours(shot.mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        drawn = np.asarray(cv2.drawContours(picture // 2 + 64, edges, -1, (255, 0, 0), 2), dtype=np.uint8)
        write_still(folder / f"{Path(shot.name).stem}.png", drawn)


def _lens(request: Request, taken: Photographs) -> View:
    """Where the search starts, and with which lens."""
    size = (taken.pictures[0].shape[0], taken.pictures[0].shape[1])
    start = None if request.start is None else load_view(request.start).view
    if request.intrinsics is not None:
        given: LensFields = parse(LensFile, read_yaml(request.intrinsics, CameraError), CameraError)
        lens, said = given.lens, request.intrinsics
    elif request.fov is not None or request.free_fov or start is None:
        fov = request.fov or (GUESSED_FOV if start is None else start.fov)
        return replace(start or View.at([1, 0, 0], [1, 0, 0, 0], fov=fov, size=size), fov=fov, size=size)
    else:
        lens, said = view_fields(start), request.start
    if tuple(lens["size"]) != size:
        raise CameraError(
            f"{said}: is of pictures of {lens['size'][1]}x{lens['size'][0]}, and these are {size[1]}x{size[0]}: a "
            "camera may crop or stretch between the two. Calibrate it with pictures of this size"
        )
    fields: dict[str, Any] = {name: lens[name] for name in ("fov", "size", "principal", "distortion")}
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return View.at([1, 0, 0], [1, 0, 0, 0], **fields) if start is None else replace(start, **fields)


def _by_board(request: Request, links: Links, taken: Photographs, lens: View) -> tuple[ViewFile, list[str]]:
    seen = find_all(Board(str(request.board)), dict(zip((s.name for s in taken.shots), taken.pictures, strict=True)))
    notes = [f"{len(seen)} of {len(taken.shots)} pictures show the board"]
    fields: LensFields = LensFields(
        **{name: getattr(lens, name) for name in ("fov", "size", "principal", "distortion")}
    )
    if request.intrinsics is None and request.fov is None:
        fields, errors = calibrate(seen, lens.size)
        notes.append(f"the lens was calibrated from the same pictures, to {max(errors.values()):.2f} pixels")
    arm = links.arm
    model = arm.model
    last = model.body(int(model.joint(arm.joints[-1]).bodyid[0]))
    link = request.board_link or model.body(int(last.parentid[0])).name
    poses = {shot.name: shot.joint_pos for shot in taken.shots}
    found = by_held_board(seen, links, poses, link, fields)
    notes.append(f"the board on '{link}' is met to {found.error:.2f} pixels")
    return ViewFile(**view_fields(found.view), uncertainty=found.uncertainty), notes


def draw_overlay(outlines: Outlines, taken: Photographs, solved: Solved) -> bytes:
    """Pictures with the arm's outline before (left) and after (right), as PNG."""
    rows = []
    for index in np.linspace(0, len(taken.shots) - 1, min(SHOWN, len(taken.shots))).round().astype(int):
        pair = [
            _outlined(outlines, index, taken.pictures[index], view, zeros, colour)
            for view, zeros, colour in (
                (solved.start, {}, (255, 140, 0)),
                (solved.view, solved.zeros, (0, 220, 60)),
            )
        ]
        rows.append(np.concatenate(pair, axis=1))
    done, png = cv2.imencode(".png", cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))
    assert done
    return png.tobytes()


def _outlined(
    outlines: Outlines, index: int, picture: NDArray[np.uint8], view: View, zeros: Zeros, colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    height = round(picture.shape[0] * WIDTH / picture.shape[1])
    drawn = (outlines.drawn(index, outlines.view(view), zeros) != -1).astype(np.uint8)
    shape = cv2.resize(drawn, (WIDTH, height), interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(shape, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    canvas = cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.drawContours(canvas, contours, -1, colour, 1), dtype=np.uint8)


def _report(request: Request, taken: Photographs, solved: Solved, overlay: bytes) -> Report:
    known = solved.uncertainty
    rows = tuple(
        (shot.name, f"{overlap:.3f}", f"{edge:+.1f}")
        for shot, overlap, edge in zip(taken.shots, solved.overlaps, solved.edges, strict=True)
    )
    axes = [
        (f"{axis} [mm]", 1e3 * value, 1e3 * wide)
        for axis, value, wide in zip("xyz", solved.view.position, known.position_95, strict=True)
    ]
    zeros = [
        (f"zero of {name} [degrees]", f"{math.degrees(value):+.2f}", f"{math.degrees(solved.zeros_std[name]):.2f}")
        for name, value in solved.zeros.items()
    ]
    tables = [
        Table(
            title="Where it stands",
            head=("in the base's frame", "found", "+- (95 %)"),
            rows=tuple((name, f"{value:.1f}", f"{wide:.1f}") for name, value, wide in axes),
        ),
        Table(
            title="Pictures",
            head=("picture", "overlap", "mask too small by [pixels]"),
            rows=rows,
            note="Overlap is intersection over union of the arm's model and its mask, that growth allowed for.",
        ),
    ]
    if zeros:
        tables.append(
            Table(title="Zeros", head=("joint", "stands further by", "standard deviation"), rows=tuple(zeros))
        )
    shown = Picture(name="overlay", title="Before and after", png=overlay, text="The arm's outline over its pictures.")
    return Report(
        title=f"Camera pose from {len(taken.shots)} pictures",
        verdict=f"Solved: the arm's model overlaps with the pictures by {solved.overlap:.3f}.",
        tone="good",
        warnings=solved.notes,
        tables=tuple(tables),
        pictures=(shown,),
        settings={"robot": str(request.robot), "pictures": str(request.folder)},
        files={file.name: file for file in taken.files[:1]},
    )


def calibrate_lens(folder: Path, board: str, out: Path) -> tuple[LensFile, dict[str, float]]:
    """Calibrate a lens from a folder of pictures of a board and write intrinsics.yaml.

    Returns:
        The lens, and each picture's reprojection error [pixels].

    Raises:
        CameraError: When the pictures don't tell it.
    """
    import yaml

    known = Board(board)
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGES) if folder.is_dir() else []
    if not files:
        raise CameraError(f"{folder}: holds no pictures; give a folder of {', '.join(sorted(IMAGES))}")
    pictures = {file.name: read_still(file) for file in files}
    sizes = {(picture.shape[0], picture.shape[1]) for picture in pictures.values()}
    if len(sizes) > 1:
        raise CameraError(f"{folder}: the pictures have {len(sizes)} sizes; calibrate with one camera's, at one size")
    lens, errors = calibrate(find_all(known, pictures), next(iter(sizes)))
    source = {"board": board, "pictures_sha256": hash_data({file.name: sha256(file) for file in files})}
    lens = lens.model_copy(update={"source": source})
    text = yaml.safe_dump(lens.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=110)
    write_atomic(out, text)
    return lens, errors
