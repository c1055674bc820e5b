"""`policy-port camera solve`, `calibrate` and `board`: where a camera stands, and what its lens is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policy_port import counts
from policy_port.cli.options import takes

if TYPE_CHECKING:
    from policy_port.contract.mapping import RobotMapping

PicturesArgument = Annotated[Path, typer.Argument(metavar="PICTURES", help="Folder of pictures.", show_default=False)]


@dataclass(frozen=True, kw_only=True)
class SolveOptions:
    """What is given on the command line."""

    pictures: Annotated[
        Path,
        typer.Argument(
            metavar="PICTURES", help="Folder of pictures with poses.yaml, or a LeRobotDataset.", show_default=False
        ),
    ]
    robot: Annotated[str, typer.Option(metavar="FILE", help="URDF or MJCF with meshes, or a name such as so100.")]
    out: Annotated[Path, typer.Option(metavar="FILE", help="The view.yaml; a .png of its name shows the fit.")]
    intrinsics: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The lens, as camera calibrate writes it.", show_default=False)
    ] = None
    fov: Annotated[
        str | None,
        typer.Option(metavar="DEG", help="Field of view from top to bottom, or free: solved for.", show_default=False),
    ] = None
    start: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="view.yaml to start from, 10 cm and 10 degrees off.", show_default=False),
    ] = None
    background: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The picture without the arm.", show_default=False)
    ] = None
    colour: Annotated[
        list[str] | None, typer.Option(metavar="#RRGGBB", help="A colour of the arm. Repeatable.", show_default=False)
    ] = None
    through: Annotated[
        str | None,
        typer.Option(
            metavar="MAPPING", help="Joint map to LeRobot's numbers, or a robot file that has one.", show_default=False
        ),
    ] = None
    zeros: Annotated[bool, typer.Option("--zeros", help="Solve for the joints' zeros too.")] = False
    principal: Annotated[bool, typer.Option("--principal", help="Solve for the principal point too.")] = False
    board: Annotated[
        str | None,
        typer.Option(
            metavar="BOARD",
            help="A board that the arm holds: charuco:7x5:30:22:4X4_50 (squares, mm, marker mm, dictionary) or "
            "apriltag:4x3:30:9:36h11 (tags, mm, gap mm, family).",
            show_default=False,
        ),
    ] = None
    board_link: Annotated[
        str | None,
        typer.Option(metavar="LINK", help="The link that holds it; without, the last joint's parent."),
    ] = None
    episode: Annotated[
        int | None, typer.Option(min=0, max=counts.EPISODES, help="Episode of a LeRobotDataset; 0, if absent.")
    ] = None
    camera: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Camera of a LeRobotDataset that has several."),
    ] = None
    masks: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write what is taken for the arm, also where nothing fits.", show_default=False
        ),
    ] = None
    report: Annotated[bool, typer.Option("--report", help="Write a report beside it.")] = False
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False


@takes(SolveOptions)
def solve(options: SolveOptions) -> None:
    """Find where a camera stands from 5 to 30 pictures of an arm at known joint positions, without a marker."""
    fov = _fov(options)
    _refuse_there(options.out, options.force)
    if options.masks is not None and options.board is not None:
        raise typer.BadParameter("--masks goes without --board, which needs none")
    from policy_port.camera.masks import read_colour
    from policy_port.camera.solve_files import Request, solve_view

    request = Request(
        folder=_folder(options),
        robot=options.robot,
        intrinsics=options.intrinsics,
        fov=fov,
        free_fov=options.fov == "free",
        principal=options.principal,
        zeros=options.zeros,
        start=options.start,
        background=options.background,
        colours=tuple(read_colour(text) for text in options.colour or ()),
        through=None if options.through is None else _through(options.through),
        board=options.board,
        board_link=options.board_link,
        masks=options.masks,
    )
    found, notes = solve_view(
        request, options.out, report=options.report, progress=lambda text: typer.echo(f"{text} ...", err=True)
    )
    x, y, z = (f"{1e3 * value:.1f}" for value in found.position)
    typer.echo(f"camera at {x}, {y}, {z} mm, field of view {math.degrees(found.fov):.2f} degrees")
    if found.uncertainty is not None:
        wide = ", ".join(f"{1e3 * value:.1f}" for value in found.uncertainty.position_95)
        turn = ", ".join(f"{math.degrees(value):.2f}" for value in found.uncertainty.direction_95)
        typer.echo(f"within (95 %) {wide} mm along x, y, z and {turn} degrees of roll, pitch, yaw")
    if found.overlap is not None:
        typer.echo(f"overlap {found.overlap:.3f}; see {options.out.with_suffix('.png')}")
    for name, value in found.zeros.items():
        typer.echo(f"zero of {name}: the joint stands {math.degrees(value):+.2f} degrees further than it says")
    for note in notes:
        typer.echo(f"note: {note}")
    typer.echo(f"wrote {options.out}")


def _folder(options: SolveOptions) -> Path:
    """The folder of pictures; out of a LeRobotDataset one is made beside the result, and left there."""
    from policy_port.robots.jobs.recorded_poses import Recorded, is_dataset, write_poses

    if not is_dataset(options.pictures):
        stray = "episode" if options.episode is not None else "camera" if options.camera else None
        if stray is not None:
            raise typer.BadParameter(f"--{stray} is for a LeRobotDataset, which {options.pictures} is not")
        return options.pictures
    if options.through is None:
        raise typer.BadParameter(
            "a LeRobotDataset has LeRobot's own numbers: give --through, a joint map or a robot file that has one"
        )
    folder = options.out.with_name(f"{options.out.stem}_pictures")
    recorded = Recorded(dataset=options.pictures, episode=options.episode or 0, camera=options.camera)
    write_poses(recorded, folder, force=options.force)
    typer.echo(f"wrote {folder}, to which masks and outlines can be added: camera solve {folder}", err=True)
    return folder


def calibrate(
    pictures: PicturesArgument,
    board: Annotated[
        str, typer.Option(metavar="BOARD", help="charuco:7x5:30:22:4X4_50: squares, mm, marker mm, DICT.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The intrinsics.yaml.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Calibrate a lens from pictures of a ChArUco or AprilTag board, held in different ways."""
    _refuse_there(out, force)
    from policy_port.camera.solve_files import calibrate_lens

    lens, errors = calibrate_lens(pictures, board, out)
    worst = max(errors, key=lambda name: errors[name])
    typer.echo(f"field of view {math.degrees(lens.fov):.2f} degrees from top to bottom, from {len(errors)} pictures")
    typer.echo(f"reprojection error {lens.reprojection_error:.2f} pixels; worst {worst}, {errors[worst]:.2f}")
    typer.echo(f"wrote {out}")


def board(
    kind: Annotated[
        str, typer.Argument(metavar="BOARD", help="charuco:7x5:30:22:4X4_50: squares, mm, marker mm, DICT.")
    ],
    out: Annotated[Path, typer.Option(metavar="PNG", help="The picture, which says how large it is.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a picture that is there.")] = False,
) -> None:
    """Draw a board to print, for camera calibrate and camera solve."""
    _refuse_there(out, force)
    from policy_port.camera.board import PER_METRE, Board
    from policy_port.camera.stills import write_still

    made = Board(kind)
    write_still(out, made.to_print(), per_metre=PER_METRE)
    height, width = (f"{1e3 * side:g}" for side in made.size)
    typer.echo(
        f"wrote {out}: print it at its actual size, glue it onto something flat, and measure it: {width} mm by "
        f"{height} mm without the white rim"
    )


def _fov(options: SolveOptions) -> float | None:
    """The field of view [rad], if one is given."""
    if options.fov is not None and options.intrinsics is not None:
        raise typer.BadParameter("give one of --intrinsics and --fov")
    if options.fov is None and options.intrinsics is None and options.start is None and options.board is None:
        raise typer.BadParameter("give the lens: --intrinsics FILE, --fov DEG, or --fov free")
    if options.fov in (None, "free"):
        return None
    try:
        fov = float(str(options.fov))
    except ValueError:
        raise typer.BadParameter(f"--fov {options.fov}: degrees from top to bottom, or free") from None
    if not 5.0 <= fov <= 150.0:
        raise typer.BadParameter(f"--fov {fov:g}: degrees from top to bottom, 5 to 150")
    return math.radians(fov)


def _refuse_there(out: Path, force: bool) -> None:
    from policy_port.errors import OutputError

    if out.exists() and not force:
        raise OutputError(f"{out}: exists already; --force replaces it")
    if not out.absolute().parent.is_dir():
        raise OutputError(f"{out.absolute().parent}: no such folder; make it first")


def _through(name: str) -> RobotMapping:
    """A joint map, or that of a robot file."""
    from policy_port.contract.mapping import load_mapping
    from policy_port.errors import MappingError, RobotError
    from policy_port.robots.arm.robot_file import load_robot_file

    try:
        return load_robot_file(name).mapping
    except RobotError:
        try:
            return load_mapping(name)
        except MappingError as cause:
            raise MappingError(f"--through {name}: neither a robot file nor a joint map: {cause}") from None
