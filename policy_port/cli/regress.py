"""`policy-port regress`: does the replay still do what it did?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policy_port import counts
from policy_port.cli.options import takes

if TYPE_CHECKING:
    from policy_port.regress.suite import Suite


@dataclass(frozen=True, kw_only=True)
class RegressOptions:
    """What is given on the command line."""

    suite: Annotated[Path, typer.Argument(metavar="SUITE", help="Suite, NAME.regress.yaml; docs/ci.md says more.")]
    jobs: Annotated[int, typer.Option(min=1, max=counts.PROCESSES, help="Cases at a time, each a process.")] = 1
    update: Annotated[
        bool, typer.Option("--update", help="Write the baselines and say what changed, instead of judging.")
    ] = False
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.", show_default=False)] = None
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write summary.md and verdicts.json.", show_default=False)
    ] = None
    case: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Judge this case only. Repeatable.", show_default=False)
    ] = None
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run cases again though nothing they depend on has changed.")
    ] = False
    fail_on_skip: Annotated[
        bool, typer.Option("--fail-on-skip", help="Exit with 3 where a case could not run here.")
    ] = False
    ray: Annotated[bool, typer.Option("--ray", help="Spread the cases over the Ray cluster at RAY_ADDRESS.")] = False


def check_options(options: RegressOptions) -> None:
    """Refuse what does not go with --update.

    Raises:
        BadParameter: Naming it.
    """
    wrong = [name for name in ("junit", "report", "case", "ray", "fail_on_skip") if getattr(options, name)]
    if options.update and wrong:
        shown = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
        raise typer.BadParameter(f"--update judges nothing, so {shown} does not go with it")


@takes(RegressOptions, check=check_options)
def regress(options: RegressOptions) -> None:
    """Hold a suite of replays against its baselines: exit 0 pass, 1 regression, 2 bad suite, 3 inconclusive."""
    from policy_port.errors import SuiteError, closest
    from policy_port.regress.suite import load_suite

    check_options(options)
    suite = load_suite(options.suite)
    names = [item.name for item in suite.cases]
    for name in options.case or ():
        if name not in names:
            raise SuiteError(
                f"{options.suite}: no case is called '{name}'{closest(name, names) or '.'} There are: {names}"
            )
    if not options.update:
        _judge(suite, options)
        return
    _update(suite, options.jobs)


def _judge(suite: Suite, options: RegressOptions) -> None:
    import os

    from policy_port.regress.report import github_annotations, tally, write_reports
    from policy_port.regress.run import run_suite
    from policy_port.regress.verdict import exit_status

    performer = None
    if options.ray:
        from policy_port.regress.ray_cluster import on_ray

        performer = on_ray()
    verdicts = run_suite(
        suite,
        jobs=options.jobs,
        fresh=options.fresh,
        only=options.case or (),
        performer=performer,
        on_verdict=lambda verdict: typer.echo(verdict.sentence),
    )
    write_reports(suite, verdicts, folder=options.report, junit_file=options.junit)
    if os.environ.get("GITHUB_ACTIONS"):
        for line in github_annotations(suite, verdicts):
            typer.echo(line)
    typer.echo(f"{suite.name}: {tally(verdicts)}")
    status = exit_status(verdicts, fail_on_skip=options.fail_on_skip)
    if status:
        raise typer.Exit(status)


def _update(suite: Suite, jobs: int) -> None:
    from policy_port.regress.update import Updated, update_suite

    def tell(updated: Updated) -> None:
        typer.echo(f"{updated.case}:")
        for line in updated.lines:
            typer.echo(f"  {line}")

    found = update_suite(suite, jobs=jobs, on_case=tell)
    written = sum(updated.written for updated in found)
    typer.echo(f"wrote {written} of {len(found)} baselines to {suite.baselines}")
