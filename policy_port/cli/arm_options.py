"""The options of `policy-port play --real`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from policy_port.cli.plant_options import StopsOption

RealOption = Annotated[bool, typer.Option("--real", help="Drive the arm of a robot file; see docs/so100.md.")]
EmulatedOption = Annotated[bool, typer.Option("--emulated", help="With --real: an emulated arm, to rehearse with.")]
FaultOption = Annotated[
    list[str] | None,
    typer.Option("--fault", metavar="SPEC", help="Fault of the emulated arm; `emulate --faults` lists them."),
]
ContinuousOption = Annotated[
    bool, typer.Option("--continuous", help="With --real: no Enter before each step. Not for the first run.")
]
FastOption = Annotated[
    bool, typer.Option("--fast", help="With --real --emulated: its time passes as fast as this machine computes.")
]
DatasetOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="With --real: write the run as a LeRobotDataset; it must not exist yet."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="With --real --env: env.yaml; its camera, crop and check before anything moves."),
]
AcceptOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="With --config: go on in spite of this finding of its check. Repeatable."),
]
EmulatedViewOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="view.yaml of where an emulated arm's camera truly stands; nobody else is told."),
]
AskOption = Annotated[
    bool, typer.Option("--ask", help="With --real: ask after each episode whether it succeeded, and write it down.")
]


@dataclass(frozen=True, kw_only=True)
class ArmOptions:
    """What is given for an arm, and means nothing in a simulator."""

    real: RealOption = False
    emulated: EmulatedOption = False
    continuous: ContinuousOption = False
    fault: FaultOption = None
    dataset: DatasetOption = None
    fast: FastOption = False
    stops: StopsOption = 1
    config: ConfigOption = None
    accept: AcceptOption = None
    ask: AskOption = False
    emulated_view: EmulatedViewOption = None

    def check_unused(self) -> None:
        """Refuse any of it, where --real is not given."""
        if self.emulated or self.continuous or self.fault or self.dataset or self.fast or self.stops > 1:
            raise typer.BadParameter("--emulated, --continuous, --fault, --fast, --stops and --dataset go with --real")
        if self.config is not None or self.accept or self.ask or self.emulated_view is not None:
            raise typer.BadParameter("--config, --accept, --ask and --emulated-view go with --real")
