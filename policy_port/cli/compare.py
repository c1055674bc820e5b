"""`policy-port compare`: the same policy in several simulators, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policy_port.cli.options import takes

if TYPE_CHECKING:
    from policy_port.compare.compare import Comparison


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """What is given on the command line."""

    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN...", help="Folders of `play --out`, or traces; each is held against the first of its policy."
        ),
    ] = None
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="PP=RUN", help="Isaac Lab's matrix: PP, PN, NN, NP; trained in, played in."),
    ] = None
    name: Annotated[
        list[str] | None, typer.Option("--name", help="Name of a run in the tables, in the order of the runs.")
    ] = None
    mapping: Annotated[
        list[str] | None,
        typer.Option("--mapping", metavar="MAP", help="Mapping between runs that name joints otherwise."),
    ] = None
    rank: Annotated[
        Path | None, typer.Option(metavar="CSV", help="policy,WORLD,WORLD: scores or runs; the first world counts.")
    ] = None
    dynamics: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="dynamics.yaml: the gap of runs under it and of others to the first run."),
    ] = None
    out: Annotated[Path | None, typer.Option(help="Folder for plots and comparison.json.")] = None
    report: Annotated[bool, typer.Option("--report", help="Write report.html into --out.")] = False
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that is already there.")] = False


def check_runs(options: CompareOptions) -> None:
    """Refuse too few runs, and options that do not fit them.

    Raises:
        BadParameter: Saying what to give.
    """
    paths, names, tags = options.runs or [], options.name or [], _tags(options)
    if len(paths) == 1 or (not paths and not tags and options.rank is None):
        raise typer.BadParameter("give two runs or more, four --tag, or --rank")
    if options.dynamics is not None and len(paths) < 3:
        raise typer.BadParameter("--dynamics compares a recorded run, one without the dynamics and one under them")
    if options.report and options.out is None:
        raise typer.BadParameter("--report goes with --out, the folder that it is written to")
    if names and (len(names) != len(paths) or len(set(names)) < len(names)):
        raise typer.BadParameter(f"give each of the {len(paths)} runs a --name of its own, given: {', '.join(names)}")
    repeated = sorted({key for key, _ in tags if [other for other, _ in tags].count(key) > 1})
    if repeated:
        raise typer.BadParameter(f"--tag {', '.join(repeated)} is given twice")


def _tags(options: CompareOptions) -> list[tuple[str, Path]]:
    return [_split(text) for text in options.tag or []]


@takes(CompareOptions, check=check_runs)
def compare(options: CompareOptions) -> None:
    """Compare runs of one policy: outcome, speed, joint trajectories, actions, torque; and rank policies by --rank.

    Exit status 0: compared. 2: a run can't be read, or joints can't be matched. Differences are no failure: whether a
    port is right, verify says.
    """
    check_runs(options)
    paths, tags, rank = options.runs or [], _tags(options), options.rank

    from policy_port.compare.compare import compare_runs
    from policy_port.compare.labels import run_labels
    from policy_port.compare.run import read_run
    from policy_port.compare.scores import read_rankings
    from policy_port.contract import load_mapping
    from policy_port.dynamics.document import load_dynamics

    mappings = [load_mapping(one) for one in options.mapping or []]
    rankings = read_rankings(rank) if rank is not None else ()
    labels = options.name or run_labels(paths, taken=[key for key, _ in tags])
    read = [read_run(path, label) for path, label in zip(paths, labels, strict=True)]
    tagged = {key: read_run(path, key) for key, path in tags}
    dynamics = None if options.dynamics is None else load_dynamics(options.dynamics)
    found = compare_runs(read, tagged=tagged, mappings=mappings, rankings=rankings, dynamics=dynamics)
    written = [] if options.out is None else _write(found, options.out, options, [*paths, *(path for _, path in tags)])
    if options.json:
        typer.echo(found.json().rstrip())
        return
    typer.echo(found.text())
    for file in written:
        typer.echo(f"wrote {options.out}/{file}")


def _write(found: Comparison, out: Path, options: CompareOptions, runs: list[Path]) -> list[str]:
    """Names of the files that were written into `out`."""
    from policy_port.compare.plots import pictures
    from policy_port.compare.report import comparison_report
    from policy_port.files import output_folder, write_atomic
    from policy_port.report import write_report

    with output_folder(out, options.force, runs) as folder:
        write_atomic(folder / "comparison.json", found.json())
        if options.report:
            write_report(folder / "report.html", comparison_report(found))
        else:
            for picture in pictures(found) if found.runs else ():
                write_atomic(folder / f"{picture.name}.png", picture.png)
        return sorted(file.name for file in folder.iterdir())


def _split(text: str) -> tuple[str, Path]:
    key, equals, path = text.partition("=")
    if not (key and equals and path):
        raise typer.BadParameter(f"--tag takes TAG=RUN such as PP=runs/pp, given: {text}")
    return key, Path(path)
