"""`policy-port map derive`: write a mapping from a robot file, or from two lists of names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from policy_port.contract import RobotMapping
    from policy_port.descriptors.name_match import NameMatch

Order = Literal["isaaclab", "mujoco", "newton", "sapien"]


def derive(
    out: Annotated[Path, typer.Option(help="Mapping file to write.")],
    robot: Annotated[
        str | None, typer.Option(metavar="FILE", help="Robot file (URDF, MJCF, USD), or the name of ManiSkill's.")
    ] = None,
    from_order: Annotated[Order | None, typer.Option(help="Simulator the policy was trained in.")] = None,
    to_order: Annotated[Order | None, typer.Option(help="Simulator it is deployed in.")] = None,
    names: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="A.yaml B.yaml", help="Match two lists of names instead.")
    ] = None,
    accept_proposals: Annotated[bool, typer.Option("--accept-proposals", help="Take the likely renames.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the output file.")] = False,
) -> None:
    """Write the mapping between two simulators' joint orders of one robot, or between two lists of names.

    MuJoCo, Newton and SAPIEN are asked themselves; for PhysX Isaac Lab's rule is applied. A rename is only ever
    proposed: it is taken with --accept-proposals, or by pasting it into the mapping.
    """
    from policy_port.errors import MappingError, OutputError
    from policy_port.files import write_atomic

    if out.exists() and not force:
        raise OutputError(f"{out}: exists; name another file, or replace it with --force")
    if (robot is None) == (names is None):
        raise MappingError("give either --robot FILE with --from-order and --to-order, or --names A.yaml B.yaml")
    if names is not None and (from_order is not None or to_order is not None):
        raise MappingError("--from-order and --to-order go with --robot: lists of names have no simulator")
    if names is None and accept_proposals:
        raise MappingError("--accept-proposals goes with --names: a robot's joints keep their names")
    if names is not None:
        mapping = _from_names(names, accept_proposals)
    elif robot is not None and from_order is not None and to_order is not None:
        from policy_port.descriptors.joint_orders import derive_mapping

        mapping, notes = derive_mapping(robot, from_order, to_order)
        for note in notes:
            typer.echo(f"note: {note}", err=True)
    else:
        raise MappingError("--robot needs --from-order and --to-order: isaaclab, mujoco, newton or sapien")
    write_atomic(out, mapping.to_yaml())
    typer.echo(f"{out}: {len(mapping.pairs)} joints correspond")


def _from_names(names: tuple[Path, Path], accept: bool) -> RobotMapping:
    from policy_port.descriptors.name_file import read_name_list
    from policy_port.descriptors.name_match import match_names
    from policy_port.errors import MappingError

    match = match_names(read_name_list(names[0]), read_name_list(names[1]))
    if match.open_source or match.open_target or (match.proposals and not accept):
        raise MappingError(_open_question(match, names, accept))
    return match.mapping()


def _open_question(match: NameMatch, names: tuple[Path, Path], accept: bool) -> str:
    import yaml

    lines = [f"{names[0]} and {names[1]} do not have the same names; nothing was written."]
    if match.proposals:
        proposed = {proposal.source: proposal.target for proposal in match.proposals}
        how = "" if accept else " Check each; paste them into a mapping, or take them all with --accept-proposals:"
        lines.append(f"These renames look likely.{how}")
        lines.append(yaml.safe_dump({"rename": proposed}, sort_keys=False, allow_unicode=True).rstrip())
    for key, joints, file in (
        ("only_in_source", match.open_source, names[0]),
        ("only_in_target", match.open_target, names[1]),
    ):
        if joints:
            lines.append(
                f"Without a counterpart in {file}: {', '.join(joints)}. Rename them, or list them under {key} with the "
                "position at which they stand"
            )
    return "\n".join(lines)
