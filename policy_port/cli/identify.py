"""`policy-port identify`: from recordings of a robot to dynamics.yaml, which simulators and trainings take."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from policy_port import counts
from policy_port.cli.options import takes


class IdentifyPlant(StrEnum):
    """The simulators that an identification runs in."""

    MUJOCO = "mujoco"
    MANISKILL = "maniskill"


class ActuatorKind(StrEnum):
    """What drives are taken for."""

    PHYSICAL = "physical"
    NETWORK = "network"


DataArgument = Annotated[
    list[Path],
    typer.Argument(help="Recordings to fit: traces, LeRobotDatasets, folders of SAGE, or folders of these."),
]
PlantOption = Annotated[IdentifyPlant, typer.Option(help="Simulator whose numbers are searched.")]
RobotOption = Annotated[str, typer.Option(metavar="FILE", help="URDF, MJCF, or a robot of ManiSkill.")]
OutOption = Annotated[Path, typer.Option(metavar="YAML", help="File of dynamics to write.")]
HeldOutOption = Annotated[
    list[Path], typer.Option("--held-out", help="Recordings to judge by, which are not fitted; repeat it for more.")
]
ContractOption = Annotated[
    Path | None, typer.Option(help="Contract that says how joints are driven; the robot file's actuators, if none.")
]
MappingOption = Annotated[
    str | None,
    typer.Option(metavar="MAP", help="From the robot file's joints to the recordings' names, signs, zeros and units."),
]
PriorsOption = Annotated[str, typer.Option(metavar="YAML", help="Bounds and priors, and what is searched.")]
RateOption = Annotated[
    float | None, typer.Option(min=1.0, help="Rows per second of recordings without time stamps [Hz].")
]
JointsOption = Annotated[
    str | None, typer.Option(metavar="NAME,NAME", help="Names of the columns of recordings without names.")
]
AfterOption = Annotated[
    float | None,
    typer.Option("--hold-out-after", min=1.0, help="Hold out what comes after so many seconds of a single recording."),
]
PayloadOption = Annotated[str | None, typer.Option(metavar="LINK", help="Search the mass that this link carries.")]
HorizonOption = Annotated[float, typer.Option(min=0.05, max=60.0, help="How far ahead a prediction looks [s].")]
SegmentsOption = Annotated[
    int, typer.Option(min=8, max=2000, help="Stretches that are fitted, spread over the recordings.")
]
TimestepOption = Annotated[
    float | None, typer.Option(min=1e-4, max=0.05, help="Physics timestep [s]; the contract's, or 0.005.")
]
SeedOption = Annotated[int, typer.Option(min=0, max=counts.SEED, help="Seed of the bootstrap.")]
ActuatorOption = Annotated[
    ActuatorKind, typer.Option(help="network: also train one beside each drive, kept if held-out errors fall for sure.")
]
AcceptOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Go on in spite of this doubt of the recordings. Repeatable."),
]
ReportOption = Annotated[Path | None, typer.Option(metavar="HTML", help="Write a page with plots.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the file of dynamics, and the page.")]


@dataclass(frozen=True, kw_only=True)
class IdentifyOptions:
    """What `identify` is given on the command line."""

    data: DataArgument
    robot: RobotOption
    out: OutOption
    plant: PlantOption = IdentifyPlant.MUJOCO
    held_out: HeldOutOption = ()  # type: ignore[assignment]
    contract: ContractOption = None
    mapping: MappingOption = None
    priors: PriorsOption = "sts3215"
    rate: RateOption = None
    joints: JointsOption = None
    hold_out_after: AfterOption = None
    payload: PayloadOption = None
    horizon: HorizonOption = 0.5
    segments: SegmentsOption = 160
    timestep: TimestepOption = None
    seed: SeedOption = 0
    actuator: ActuatorOption = ActuatorKind.PHYSICAL
    accept: AcceptOption = None
    report: ReportOption = None
    force: ForceOption = False


@takes(IdentifyOptions)
def identify(options: IdentifyOptions) -> None:
    """Find the dynamics that predict recordings, and say how well they are known.

    Recordings are split by file: none is fitted and held out. Wrong data are named, exit status 2, and nothing is
    written: units in degrees, a stuck joint, clipped commands, shifted time stamps, another robot.
    """
    from policy_port.contract import load_contract, load_mapping
    from policy_port.errors import MissingDependencyError

    _check_outputs(options)
    try:
        from policy_port.identify import session
        from policy_port.identify.doubts import check_raised
    except ImportError as cause:
        if (cause.name or "").startswith("policy_port"):
            raise
        raise MissingDependencyError(f"identify needs {cause.name}: pip install 'policy-port[identify]'") from None
    request = session.Request(
        plant=options.plant.value,
        robot=options.robot,
        contract=None if options.contract is None else load_contract(options.contract),
        mapping=None if options.mapping is None else load_mapping(options.mapping),
        priors=options.priors,
        payload_link=options.payload,
        timestep=options.timestep,
        data=tuple(options.data),
        held_out=tuple(options.held_out or ()),
        hold_out_after=options.hold_out_after,
        rate=options.rate,
        joints=None if options.joints is None else tuple(name.strip() for name in options.joints.split(",")),
        horizon=options.horizon,
        segments=options.segments,
        seed=options.seed,
        network=options.actuator is ActuatorKind.NETWORK,
        accepted=tuple(options.accept or ()),
    )
    done = session.run(request, lambda text: typer.echo(text, err=True))
    check_raised(options.accept or (), getattr(done.found, "accepted", ()))
    typer.echo(done.text.rstrip())
    session.write(done, options.out, options.report)
    typer.echo(f"wrote {options.out}" + (f" and {options.report}" if options.report else ""), err=True)
    typer.echo(f"next: policy-port play PORT ... --dynamics {options.out}: the simulator behaves so", err=True)


def _check_outputs(options: IdentifyOptions) -> None:
    """Refuse, before anything is searched, what could not be written."""
    from policy_port.errors import OutputError

    read = [*options.data, *(options.held_out or ()), options.contract, Path(options.robot), Path(options.priors)]
    inputs = {file.resolve() for file in (*read, Path(options.mapping or options.robot)) if file is not None}
    outputs = [file for file in (options.out, options.report) if file is not None]
    for file in outputs:
        if file.resolve() in inputs:
            raise OutputError(f"{file}: is read; name another file for what is written")
        if file.exists() and not options.force:
            raise OutputError(f"{file}: exists; name another file, or replace it with --force")
        if not file.resolve().parent.is_dir():
            raise OutputError(f"{file.parent}: no such folder for the output")
    if len({file.resolve() for file in outputs}) < len(outputs):
        raise OutputError(f"{options.out}: is to be both dynamics and page; name two files")
    if options.actuator is ActuatorKind.NETWORK and options.plant is not IdentifyPlant.MUJOCO:
        raise typer.BadParameter("--actuator network goes with --plant mujoco, where it is trained and judged")
    if options.hold_out_after is not None and (options.held_out or len(options.data) > 1):
        raise typer.BadParameter("--hold-out-after goes with a single recording and without --held-out")
