"""`policy-port contract`: make a contract from a foreign descriptor, and look at contracts."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from policy_port.cli.options import takes

if TYPE_CHECKING:
    from policy_port.contract import Contract
    from policy_port.descriptors.options import ImportOptions

contract_app = typer.Typer(
    help="Make a contract from what a trainer wrote, and look at contracts.", no_args_is_help=True
)

ContractArgument = Annotated[Path, typer.Argument(metavar="CONTRACT", help="Contract file.")]


@dataclass(frozen=True, kw_only=True)
class ImportArguments:
    """What is given on the command line."""

    out: Annotated[Path, typer.Option(help="Contract file to write.")]
    sources: Annotated[
        list[Path] | None, typer.Argument(metavar="SOURCE...", help="Descriptor files, or a folder that holds one.")
    ] = None
    kind: Annotated[str | None, typer.Option("--from", help="Kind of the descriptor, if the file does not tell.")] = (
        None
    )
    env: Annotated[str | None, typer.Option(help="ManiSkill environment to ask instead of a file.")] = None
    control_mode: Annotated[str | None, typer.Option(help="Its control mode in training.")] = None
    obs_mode: Annotated[
        Literal["state", "rgb", "rgb+segmentation"] | None,
        typer.Option(help="Its observation mode in training; state, if not given. With rgb, the policy sees."),
    ] = None
    policy: Annotated[Path | None, typer.Option(help="Policy file; its widths must be the contract's.")] = None
    name: Annotated[str | None, typer.Option(help="Name of the policy; the output's name, if not given.")] = None
    robot: Annotated[str | None, typer.Option(help="Name of the robot.")] = None
    trained_in: Annotated[str | None, typer.Option(help="Simulator, physics engine and version, in words.")] = None
    quaternion_order: Annotated[
        Literal["wxyz", "xyzw", "none"] | None,
        typer.Option(help="Order of quaternions in external terms."),
    ] = None
    timestep: Annotated[float | None, typer.Option(help="Physics timestep of training [s].", min=1e-6)] = None
    control_frequency: Annotated[
        float | None, typer.Option(help="Control steps per second [Hz], for LeRobot.", min=1e-3)
    ] = None
    actuation: Annotated[
        Literal["implicit", "explicit", "model"] | None, typer.Option(help="How targets became torques in training.")
    ] = None
    names: Annotated[Path | None, typer.Option(help="Joint names, for descriptors without.")] = None
    names_order: Annotated[Literal["policy", "motor"] | None, typer.Option(help="Order of a bare list in --names.")] = (
        None
    )
    order: Annotated[
        Literal["physx", "mjw"] | None, typer.Option(help="Order the policy was trained in, for newton-assets.")
    ] = None
    layout: Annotated[str | None, typer.Option(help="Named observation layout, where terms have no meaning.")] = None
    group: Annotated[str | None, typer.Option(help="Observation group, for Isaac Lab.")] = None
    articulation: Annotated[str | None, typer.Option(help="Articulation, for Isaac Lab.")] = None
    size: Annotated[
        list[str] | None, typer.Option(metavar="NAME=N", help="Size of a term that the exporter skipped.")
    ] = None
    precise: Annotated[Path | None, typer.Option(help="Full-precision values beside rounded metadata.")] = None
    gains_order: Annotated[
        Literal["joint", "policy", "motor"] | None,
        typer.Option(help="Order of the gains; joint and policy are one: that of the policy's joints."),
    ] = None
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Fill a key of the contract.")
    ] = None
    set_file: Annotated[
        Path | None, typer.Option(help="YAML of such keys with their values, as `contract write` leaves one.")
    ] = None
    force: Annotated[bool, typer.Option("--force", help="Replace the output file.")] = False


@contract_app.command("import")
@takes(ImportArguments)
def import_(given: ImportArguments) -> None:
    """Turn a descriptor into a contract; what it does not say is asked for, never guessed."""
    from policy_port.descriptors.registry import import_contract
    from policy_port.files import write_atomic

    out = given.out
    _check_output(out, force=given.force)
    imported = import_contract(list(given.sources or []), given.kind, _import_options(given))
    write_atomic(out, imported.contract.to_yaml())
    read = ", ".join(str(path) for path in imported.files) or given.env
    contract = imported.contract
    typer.echo(f"{out}: contract '{contract.name}' from {read} ({imported.kind})")
    drives = [term.drive for term in contract.action.terms for _ in contract.action_joints(term)]
    writes = (
        f"{drives.count(d)} joint {'positions' if d == 'position' else d.replace('y', 'ie') + 's'}" for d in drives
    )
    typer.echo(f"  reads {contract.widths()}\n  writes {', '.join(dict.fromkeys(writes))}")
    for note in imported.notes:
        typer.echo(f"note: {note}", err=True)
    for gap in imported.unset:
        typer.echo(f"unset: {gap}", err=True)


def _import_options(given: ImportArguments) -> ImportOptions:
    from policy_port.descriptors.options import ImportOptions
    from policy_port.errors import ContractError

    sizes: dict[str, int] = {}
    for key, text in _pairs(given.size, "--size"):
        if not text.isdigit() or int(text) < 1:
            raise ContractError(f"--size {key}={text}: the size is a whole number above 0")
        sizes[key] = int(text)
    shared = {field.name for field in fields(ImportOptions)} & vars(given).keys() - {"name", "settings"}
    return ImportOptions(
        name=given.name or given.out.stem,
        sizes=sizes,
        settings={
            **_keys_of(given.set_file),
            **{key: _yaml_value(key, text) for key, text in _pairs(given.settings, "--set")},
        },
        **{name: getattr(given, name) for name in shared},
    )


@contract_app.command("write")
def write(
    contract: Annotated[Path, typer.Argument(metavar="CONTRACT", help="Contract file, or the folder of a port.")],
    to: Annotated[str, typer.Option("--to", help="Whose: unitree_rl_lab, rl_sar, isaac_lab, mjlab or leapp.")],
    out: Annotated[Path, typer.Option(help="Folder to write; it must not exist yet.")],
    names: Annotated[Path | None, typer.Option(help="YAML with motor_joint_names, the joints in motor order.")] = None,
    policy: Annotated[Path | None, typer.Option(help="The policy's ONNX file, for mjlab and leapp.")] = None,
) -> None:
    """Write a contract as the descriptor that somebody else's runner reads; what it can't hold is an error."""
    from policy_port.contract import load_contract
    from policy_port.descriptors.outwards.given import Given
    from policy_port.descriptors.outwards.write import write_descriptor
    from policy_port.errors import ContractError

    given = Given(names=names, policy=policy)
    if contract.is_dir():
        from policy_port.port.folder import load_port

        port = load_port(contract)
        if policy is not None:
            raise ContractError(f"{contract}: is a port, which has its policy; leave --policy out")
        loaded, given = port.contract, Given(names=names, policy=port.onnx, of_port=True)
    else:
        loaded = load_contract(contract)
    written = write_descriptor(loaded, to, out, given)
    typer.echo(f"{out}: {', '.join(written.files)}")
    if written.rest:
        typer.echo(f"  {', '.join(written.rest)}: in rest.yaml, for the import; a runner has them elsewhere")
    typer.echo(f"  imported again it is the same contract: {written.command}")


@contract_app.command("check")
def check(
    contract: ContractArgument,
    policy: Annotated[Path | None, typer.Option(help="Policy file; its widths must be the contract's.")] = None,
) -> None:
    """Validate a contract, list what it leaves unset, and hold its widths against a policy's."""
    from policy_port.contract import load_contract
    from policy_port.contract.doubts import doubts, undriven
    from policy_port.contract.spec import unset_values
    from policy_port.descriptors.network import check_width

    loaded = load_contract(contract)
    if policy is not None:
        check_width(loaded, policy)
    typer.echo(f"{contract}: '{loaded.name}' reads {loaded.widths()} and writes {loaded.action_size}")
    if policy is not None:
        typer.echo(f"{policy}: has these widths")
    for gap in unset_values(loaded):
        typer.echo(f"unset: {gap}")
    for line in doubts(loaded):
        typer.echo(f"doubt: {line}")
    if still := undriven(loaded):
        typer.echo(f"not driven: {', '.join(still)}; no action moves them, so they stay at their default")


@contract_app.command("show")
def show(contract: ContractArgument) -> None:
    """Print a contract as tables: observation, action, joints, and where the numbers came from."""
    from policy_port.contract import load_contract
    from policy_port.descriptors.describe import describe

    typer.echo(describe(load_contract(contract)))


@contract_app.command("diff")
def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="Contract file.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
) -> None:
    """Say what two contracts disagree on; exit status 1 when they do."""
    from policy_port.contract import load_contract
    from policy_port.contract.diff import differences

    found = differences(load_contract(a), load_contract(b))
    for line in found:
        typer.echo(line)
    if found:
        raise typer.Exit(1)
    typer.echo("no policy can tell these contracts apart")


@contract_app.command("measurable")
def measurable(
    contract: ContractArgument,
    sensors: Annotated[str, typer.Option(help="What the robot has, such as imu,encoders; an unknown one lists all.")],
    robot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="URDF, MJCF or USD, in which the way to links is looked for."),
    ] = None,
    history: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Steps of each sensed term and of past actions.")
    ] = None,
    write: Annotated[Path | None, typer.Option(metavar="STUDENT", help="Contract file to write for a student.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output file.")] = False,
) -> None:
    """Say which terms a robot's sensors give, and what the contract of a student is that reads only those."""
    from policy_port.contract import load_contract
    from policy_port.contract.measurable import layout_text, measurable

    loaded = load_contract(contract)
    if write is not None:
        _check_output(write, force=force)
        if write.resolve() == contract.resolve():
            raise typer.BadParameter(f"--write {write} is the teacher's own contract; name another file")
    chains = None if robot is None else _chains(robot, contract, loaded)
    found = measurable(loaded, [name.strip() for name in sensors.split(",") if name.strip()], chains)
    student = found.student(history)
    stands = "floats" if loaded.base.floating else "is bolted down"
    typer.echo(f"{contract}: '{loaded.name}', whose base {stands}, on a robot with {', '.join(found.sensors)}")
    typer.echo(found.text())
    for name in found.idle:
        typer.echo(f"note: no term needs {name}", err=True)
    if not found.dropped:
        typer.echo("the sensors give every term: the policy runs on the robot as it is")
    typer.echo(f"a student reads {layout_text(student)}")
    if write is not None:
        from policy_port.files import write_atomic

        write_atomic(write, student.to_yaml())
        typer.echo(f"{write}: contract '{student.name}'")
        typer.echo(f"next: policy-port distil TEACHER --teacher-contract {contract} --student-contract {write} ...")


def _chains(robot: str, contract: Path, loaded: Contract) -> dict[str, tuple[str, ...]]:
    from policy_port.descriptors.link_chains import link_chains
    from policy_port.errors import ContractError
    from policy_port.robot_models.find import find_robot

    path = find_robot(robot)
    chains = link_chains(path)
    base, floating = chains.base(loaded.joints), loaded.base.floating
    if base is None:
        raise ContractError(
            f"{path}: has none of the joints of {contract}, which are {', '.join(loaded.joints)}; its own are "
            f"{', '.join(chains.bases) or 'none'}. Name the file of the contract's robot"
        )
    if base == ("bolted" if floating else "floats"):
        says, does = ("true", "is bolted down") if floating else ("false", "floats")
        raise ContractError(
            f"{contract}: says base.floating: {says}, and the base of {path} {does}: what sensors tell of the one is "
            f"not what they tell of the other. Set base.floating: {str(not floating).lower()} in the contract, or name "
            "the robot's own file"
        )
    return chains.joints


def _check_output(out: Path, *, force: bool) -> None:
    from policy_port.errors import OutputError

    if out.exists() and not force:
        raise OutputError(f"{out}: exists; name another file, or replace it with --force")
    if not out.parent.is_dir():
        raise OutputError(f"{out.parent}: no such folder for the output")


def _pairs(given: list[str] | None, flag: str) -> list[tuple[str, str]]:
    from policy_port.errors import ContractError

    pairs = []
    for text in given or []:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ContractError(f"{flag} {text}: write it as KEY=VALUE")
        pairs.append((key.strip(), value.strip()))
    return pairs


def _keys_of(path: Path | None) -> dict[str, object]:
    from policy_port.contract.yaml_file import read_yaml
    from policy_port.errors import ContractError

    if path is None:
        return {}
    data = read_yaml(path, ContractError).data
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise ContractError(f"{path}: is no mapping of keys of a contract to their values")
    return dict(data)


def _yaml_value(key: str, text: str) -> object:
    from policy_port.errors import ContractError
    from policy_port.plain_yaml import PlainYaml

    return PlainYaml(text, f"--set {key}", ContractError).data
