"""`policy-port sweep`: many policies in many simulators, and which of them to deploy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from policy_port import counts
from policy_port.cli.options import takes


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """What is given on the command line."""

    sweep: Annotated[Path, typer.Argument(metavar="SWEEP", help="Sweep, a YAML file; docs/sweep.md says more.")]
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; NAME.results beside the file, if absent.")
    ] = None
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=counts.PROCESSES, help="Workers at a time; one a core, if absent.", show_default=False),
    ] = None
    ray: Annotated[bool, typer.Option("--ray", help="Spread them over the Ray cluster at RAY_ADDRESS.")] = False
    plot: Annotated[bool, typer.Option("--plot", help="Draw the learning curves and the ranking.")] = False
    fresh: Annotated[bool, typer.Option("--fresh", help="Play cases again though nothing has changed.")] = False


@takes(SweepOptions)
def sweep(options: SweepOptions) -> None:
    """Score checkpoints in simulators, over commands and seeds: exit 0 all played, 1 cases failed, 2 bad sweep."""
    import os

    from policy_port.sweep.document import load_sweep
    from policy_port.sweep.plots import pictures
    from policy_port.sweep.results import CASES, check_results, summary, write_results
    from policy_port.sweep.run import run_sweep
    from policy_port.sweep.scores import Scores

    found = load_sweep(options.sweep)
    out = options.out or options.sweep.with_suffix(".results")
    check_results(found, out)
    jobs, performer = options.jobs or len(os.sched_getaffinity(0)), None
    if options.ray:
        from policy_port.regress.ray_cluster import cores, on_ray

        performer = on_ray()
        jobs = options.jobs or cores()
    outcomes = run_sweep(found, jobs=jobs, fresh=options.fresh, performer=performer)
    scores = Scores(found, outcomes)
    write_results(scores, out, pictures(scores) if options.plot else ())
    typer.echo(summary(scores))
    known, failed = sum(one.cached for one in outcomes), sum(bool(one.failure) for one in outcomes)
    typer.echo(f"{len(outcomes)} cases, {known} of them known, {failed} failed; wrote {out / CASES}")
    if failed:
        raise typer.Exit(1)
