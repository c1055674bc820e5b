"""`policy-port map`: look at a mapping and hold it against contracts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from policy_port.cli.derive import derive

map_app = typer.Typer(help="Derive a mapping, look at one, and hold it against contracts.", no_args_is_help=True)
map_app.command("derive")(derive)

MapArgument = Annotated[str, typer.Argument(metavar="MAP", help="Mapping file, or the name of a shipped one.")]


@map_app.command("show")
def show(
    mapping: MapArgument,
    source: Annotated[
        Path | None, typer.Option(help="Contract of the source: shows where its observation terms go.")
    ] = None,
) -> None:
    """Print the joints of both sides, index, sign, scale and offset, and which terms move where."""
    from policy_port.contract import load_contract, load_mapping
    from policy_port.contract.mapping import doubts
    from policy_port.remap import build_remap
    from policy_port.remap.describe import HEADER, joint_rows, table, term_lines

    loaded = load_mapping(mapping)
    typer.echo(f"source: {loaded.source or 'not described'}\ntarget: {loaded.target or 'not described'}\n")
    typer.echo(table(HEADER, joint_rows(loaded)))
    if source is not None:
        typer.echo("\nobservation terms, by index")
        for line in term_lines(build_remap(load_contract(source), loaded)):
            typer.echo(f"  {line}")
    elif loaded.terms or loaded.extra_terms:
        typer.echo("\nThe mapping changes observation terms; --source CONTRACT shows where each goes.")
    for doubt in doubts(loaded):
        typer.echo(f"warning: {doubt}", err=True)


@map_app.command("check")
def check(
    mapping: MapArgument,
    source: Annotated[Path | None, typer.Option(help="Contract that the policy was trained with.")] = None,
    target: Annotated[Path | None, typer.Option(help="Contract of the side it is deployed on.")] = None,
) -> None:
    """Check a mapping by itself, against the source's contract, and its result against the target's.

    Exit status 2 when it can't be used, or when the ported policy would not have the target's contract.
    """
    from policy_port.contract import load_contract, load_mapping
    from policy_port.contract.diff import differences
    from policy_port.contract.mapping import WHY_NOT_MOVED, doubts
    from policy_port.errors import MappingError
    from policy_port.remap import build_remap
    from policy_port.remap.target import check_target_joints

    loaded = load_mapping(mapping)
    for doubt in doubts(loaded):
        typer.echo(f"warning: {doubt}", err=True)
    wanted = load_contract(target) if target is not None else None
    if source is None:
        if wanted is not None:
            check_target_joints(wanted, loaded)
        typer.echo(f"{mapping}: {len(loaded.pairs)} joints correspond by {loaded.match}")
        return
    remap = build_remap(load_contract(source), loaded)
    if wanted is not None:
        found = differences(remap.target, wanted)
        if found:
            moved = any(key in line.partition(":")[0] for line in found for key in ("].point", "].frame"))
            raise MappingError(
                f"{mapping}: the ported policy would not have contract '{wanted.name}' (ported against given):\n  "
                + "\n  ".join(found)
                + (f"\nA remap changes neither point nor frame: {WHY_NOT_MOVED}" if moved else "")
            )
    typer.echo(
        f"{mapping}: {len(loaded.pairs)} joints correspond by {loaded.match}; the ported policy reads "
        f"{remap.target.observation_size} and writes {remap.target.action_size} numbers"
    )
