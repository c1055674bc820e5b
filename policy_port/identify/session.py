"""One run of `policy-port identify`: read, check, search, judge; nothing is written before all of it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from policy_port.contract import Contract, RobotMapping
from policy_port.dynamics.document import Dynamics, write_dynamics
from policy_port.errors import EvidenceError, RobotError
from policy_port.identify.checks import check_recordings
from policy_port.identify.document import dynamics_of, with_networks
from policy_port.identify.doubts import check_names
from policy_port.identify.files import Unstated, motion, read_recordings
from policy_port.identify.fit import Predictor
from policy_port.identify.floating import PRIORS, Walked, identify_walk, load_legged
from policy_port.identify.floating_document import walk_dynamics
from policy_port.identify.floating_predictor import WalkPredictor
from policy_port.identify.floating_report import walk_report, walk_summary
from policy_port.identify.identify import Effort, Identified, identify
from policy_port.identify.learned import check_held_out
from policy_port.identify.mujoco_predictor import MujocoPredictor
from policy_port.identify.parameters import PRIORS as ARM_PRIORS
from policy_port.identify.parameters import load_priors, make_space
from policy_port.identify.recording import Recording
from policy_port.identify.report import make_report, summary
from policy_port.identify.setups import finite, fitted_setup, stock_setup
from policy_port.identify.walks import read_walks
from policy_port.plants.setup import PlantSetup
from policy_port.report import Report, write_report
from policy_port.robot_models.find import find_robot

Split = tuple[tuple[Recording, ...], tuple[Recording, ...]]
"""What is fitted, and what is held out."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be identified, from what."""

    plant: str
    """Simulator: "mujoco" or "maniskill"."""
    robot: str
    """Robot file, or the name of one of ManiSkill's."""
    contract: Contract | None = None
    """How joints are driven as the robot comes; None: by the robot file's actuators."""
    mapping: RobotMapping | None = None
    """From the robot file's joints to the recordings'."""
    priors: str = "sts3215"
    """File of priors, or the name of a shipped one."""
    payload_link: str | None = None
    """Link whose added mass is searched."""
    timestep: float | None = None
    """Physics timestep [s]."""
    data: tuple[Path, ...]
    """Recordings to fit."""
    held_out: tuple[Path, ...] = ()
    """Recordings to judge by."""
    hold_out_after: float | None = None
    """Time from which on a single recording is held out [s]."""
    rate: float | None = None
    """Rows per second of files without time stamps [Hz]."""
    joints: tuple[str, ...] | None = None
    """Columns of files without names."""
    horizon: float = 0.5
    """How far ahead predictions look [s]."""
    segments: int = 160
    """Stretches that are fitted."""
    seed: int = 0
    """Of the bootstrap."""
    network: bool = False
    """Whether networks beside the drives are tried; in MuJoCo alone."""
    accepted: tuple[str, ...] = ()
    """Doubts of the recordings that somebody has accepted, by name."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What came out."""

    found: Identified | Walked
    """The identification."""
    dynamics: Dynamics
    """The document."""
    report: Callable[[], Report]
    """The page, drawn when it is asked for."""
    text: str
    """What is printed."""


def run(request: Request, note: Callable[[str], None] = lambda _: None) -> Done:
    """Identify.

    Raises:
        EvidenceError: When recordings are wrong, naming how.
        RobotError: When the robot can't be stood up.
        DynamicsError: When the priors are wrong.
    """
    robot = find_robot(request.robot)
    if request.contract is not None and request.contract.base.floating:
        return _run_floating(request, request.contract, robot, note)
    stock_as = stock_setup(robot, request.contract, request.timestep)
    priors = load_priors(request.priors)
    if request.payload_link is not None:
        priors = priors.model_copy(
            update={
                "common": priors.common
                | {"payload_mass": priors.common["payload_mass"].model_copy(update={"fit": True})}
            }
        )
    predictor, stock = (
        make_predictor(request.plant, robot, setup, request.payload_link)
        for setup in (fitted_setup(robot, stock_as), stock_as)
    )
    joints = predictor.joint_names
    check_names(request.accepted, joints)
    split = read_split(request, joints)
    check_recordings((*split[0], *split[1]), finite(predictor.limits), request.horizon)
    if request.network:
        check_held_out(split[1])
    space = make_space(priors, joints, stock.stock)
    effort = Effort(
        horizon=request.horizon,
        segments=request.segments,
        seed=request.seed,
        network=request.network,
        accepted=request.accepted,
    )
    found = identify(predictor, stock, space, split, effort, note)
    dynamics = dynamics_of(found, robot, joints, split, request.payload_link)
    if found.learned is not None and found.learned.kept:
        dynamics = with_networks(dynamics, found.learned, joints)
    settings = {
        "plant": request.plant,
        "timestep": f"{stock_as.timestep:g} s",
        "horizon of the fit": f"{request.horizon:g} s",
        "segments": str(request.segments),
        "priors": request.priors,
        "fitted": ", ".join(item.name for item in split[0]),
        "held out": ", ".join(item.name for item in split[1]) or "nothing",
    }
    return Done(
        found=found,
        dynamics=dynamics,
        report=partial(make_report, found, dynamics, robot, joints, settings),
        text=summary(found, joints),
    )


def _run_floating(request: Request, contract: Contract, robot: Path, note: Callable[[str], None]) -> Done:
    """The same of a robot that walks."""
    given = {
        "--plant maniskill": request.plant != "mujoco",
        "--payload": request.payload_link,
        "--mapping": request.mapping,
        "--hold-out-after": request.hold_out_after,
        "--rate": request.rate,
        "--joints": request.joints,
        "--accept": request.accepted,
    }
    for option, stated in given.items():
        if stated:
            raise EvidenceError(
                f"contract '{contract.name}' is of a robot with a floating base, which is identified in MuJoCo from "
                f"traces of a policy, whole; leave {option} out"
            )
    priors = load_legged(PRIORS if request.priors == ARM_PRIORS else request.priors)
    predictor = WalkPredictor(robot, PlantSetup.from_contract(contract, timestep=request.timestep, ported=False))
    joints = predictor.joint_names
    walks = read_walks(request.data, joints), read_walks(request.held_out, joints)
    both = {file.resolve() for walk in walks[0] for file in walk.recording.files} & {
        file.resolve() for walk in walks[1] for file in walk.recording.files
    }
    if both:
        raise EvidenceError(f"{min(both)}: is both fitted and held out; a recording is one or the other")
    found = identify_walk(predictor, walks, priors, (request.horizon, request.segments), note)
    predictor.close()
    settings = {
        "contract": contract.name,
        "stretches": f"{request.segments} at most, of {found.ahead[-1]:.2g} s",
        "fitted": ", ".join(walk.recording.name for walk in walks[0]),
        "held out": ", ".join(walk.recording.name for walk in walks[1]) or "nothing",
    }
    report = partial(walk_report, found, robot, joints, settings)
    dynamics = walk_dynamics(found, robot, joints, walks)
    return Done(found=found, dynamics=dynamics, report=report, text=walk_summary(found, joints))


def write(done: Done, out: Path, report: Path | None) -> None:
    """Write the document and the page.

    Raises:
        OutputError: When one can't be written.
    """
    page = None if report is None else done.report()
    write_dynamics(out, done.dynamics)
    if report is not None and page is not None:
        write_report(report, page)


def make_predictor(plant: str, robot: Path, setup: PlantSetup, payload_link: str | None) -> Predictor:
    """A simulator that predicts.

    Raises:
        RobotError: When there is none of that name.
    """
    if plant == "mujoco":
        return MujocoPredictor(robot, setup, payload_link)
    if plant == "maniskill":
        from policy_port.identify.sapien_predictor import SapienPredictor

        return SapienPredictor(robot, setup, payload_link)
    raise RobotError(f"no plant is called '{plant}' for identification; there are: mujoco, maniskill")


def read_split(request: Request, joints: tuple[str, ...]) -> Split:
    """Recordings in the robot file's joints, split by file.

    Raises:
        EvidenceError: When one is in both halves, or can't be read.
    """
    unstated = Unstated(rate=request.rate, joints=request.joints)
    given = [read_recordings(paths, unstated) if paths else [] for paths in (request.data, request.held_out)]
    fitted, held = ([item.in_robot(joints, request.mapping) for item in group] for group in given)
    both = {file.resolve() for item in fitted for file in item.files} & {
        file.resolve() for item in held for file in item.files
    }
    if both:
        raise EvidenceError(f"{min(both)}: is both fitted and held out; a recording is one or the other")
    known = {motion(item): item.name for item in given[0]}
    for item in given[1]:
        if (other := known.get(motion(item))) is not None:
            raise EvidenceError(
                f"{item.name}: is held out, and the same motion is fitted in {other}; take one of them out"
            )
    if request.hold_out_after is not None:
        if len(fitted) != 1:
            raise EvidenceError(
                f"--hold-out-after parts a single recording, and {len(fitted)} were read; use --held-out"
            )
        fitted, held = _parted(fitted[0], request.hold_out_after)
    return tuple(fitted), tuple(held)


def _parted(item: Recording, after: float) -> tuple[list[Recording], list[Recording]]:
    """A single recording in two blocks."""
    row = int((item.time < after).sum())
    if not 20 <= row <= len(item.time) - 20:
        raise EvidenceError(
            f"{item.name}: lasts {item.time[-1]:.4g} s; --hold-out-after {after:g} leaves less than 20 rows on one side"
        )
    halves = [
        replace(item, name=f"{item.name}{label}", time=item.time[rows], measured=item.measured[rows],
                sent=item.sent[rows], command=item.command[rows])
        for label, rows in ((f" before {after:g} s", slice(None, row)), (f" after {after:g} s", slice(row, None)))
    ]  # fmt: skip
    return halves[:1], halves[1:]
