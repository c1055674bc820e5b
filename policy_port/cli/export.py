"""`policy-port remap` and `export`: write a policy for another parsing of its robot, or as it is, with the proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from policy_port import counts
from policy_port.cli.options import takes
from policy_port.cli.run_folder import names_run, policy_contract, policy_file, without_contract

if TYPE_CHECKING:
    from policy_port.contract import Contract
    from policy_port.motion.motion import Motion
    from policy_port.port.folder import Port
    from policy_port.remap import Remap

PolicyArgument = Annotated[
    Path, typer.Argument(metavar="POLICY", help="A checkpoint, a run's folder, TorchScript, ONNX, a YAML of networks.")
]
ContractOption = Annotated[
    Path | None,
    typer.Option("--contract", help="Contract that the policy was trained with; the run's own, for a run's folder."),
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder to write; it must not exist yet.")]
FormatOption = Annotated[str, typer.Option("--format", help="torchscript, onnx, or both with a comma between.")]
FoldOption = Annotated[
    bool,
    typer.Option("--fold", help="Fold everything affine into the first and last layer: no cost, weights change."),
]
DeployOption = Annotated[
    bool,
    typer.Option("--deploy", help="Insist on deploy.onnx, the whole control step: refuse a policy that has none."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace a folder that is already there.")]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="LIBRARY", help="Library that wrote the policy, if it can't be told.")
]
ActivationOption = Annotated[
    str | None, typer.Option(help="Activation of the hidden layers, where the file does not say.")
]
AgentOption = Annotated[
    Path | None,
    typer.Option("--agent", "--agent-yaml", help="The trainer's agent.yaml, if it does not lie beside the policy."),
]
IgnoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore", metavar="NAME", help="What the policy does not need of the file; can be given repeatedly."
    ),
]
StatisticsOption = Annotated[
    str | None,
    typer.Option("--statistics", metavar="FILE", help="VecNormalize's statistics of this checkpoint, or none."),
]
MotionOption = Annotated[
    Path | None,
    typer.Option(
        "--motion", metavar="FILE", help="Clip that the policy follows, .npz, .csv or .pkl; it goes into the port."
    ),
]
OutputOption = Annotated[
    list[str] | None,
    typer.Option("--output", metavar="NAME", help="Output of an ONNX file that is the action; STATE=NAME for a state."),
]
MeanOption = Annotated[
    bool, typer.Option("--mean", help="Take the mean of what the network draws at random, instead of refusing it.")
]
RecordedOption = Annotated[
    Path | None, typer.Option(help="Trace, .npz or .npy with observations of the port's side to prove parity on too.")
]
MappingOption = Annotated[str, typer.Option("--mapping", help="Mapping file, or the name of a shipped one.")]
SeedOption = Annotated[int, typer.Option(min=0, max=counts.SEED, help="Seed of the observations that parity draws.")]


@dataclass(frozen=True, kw_only=True)
class _Source:
    policy: PolicyArgument
    contract: ContractOption = None


@dataclass(frozen=True, kw_only=True)
class _Mapped(_Source):
    mapping: MappingOption


@dataclass(frozen=True, kw_only=True)
class _Written:
    out: OutOption
    format_: FormatOption = "torchscript,onnx"
    fold: FoldOption = False
    deploy: DeployOption = False
    force: ForceOption = False
    library: FromOption = None
    activation: ActivationOption = None
    agent: AgentOption = None
    ignore: IgnoreOption = None
    statistics: StatisticsOption = None
    output: OutputOption = None
    mean: MeanOption = False
    recorded: RecordedOption = None
    motion: MotionOption = None
    seed: SeedOption = 0


@dataclass(frozen=True, kw_only=True)
class ExportOptions(_Written, _Source):
    """What `export` is given on the command line."""


@dataclass(frozen=True, kw_only=True)
class RemapOptions(ExportOptions, _Mapped):
    """What `remap` is given on the command line."""


def check_source(options: ExportOptions) -> None:
    """Refuse formats that there are not, and a policy without a contract.

    Raises:
        OutputError: Naming the format.
        BadParameter: When no contract is named and the policy is no run's folder.
    """
    from policy_port.export.write import check_formats

    check_formats(formats_of(options.format_))
    if options.contract is None and not names_run(options.policy):
        raise without_contract(options.policy)


def check_mapped(options: RemapOptions) -> None:
    """Refuse that, and a mapping that can't be read."""
    from policy_port.contract import load_mapping

    check_source(options)
    load_mapping(options.mapping)


def formats_of(text: str) -> tuple[str, ...]:
    """The names in `--format`."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


@takes(RemapOptions, check=check_mapped)
def remap(options: RemapOptions) -> None:
    """Write the policy for another parsing of its robot, and prove that it arrived unchanged."""
    from policy_port.contract import load_mapping
    from policy_port.contract.mapping import doubts
    from policy_port.remap import build_remap

    mapping = load_mapping(options.mapping)
    for doubt in doubts(mapping):
        typer.echo(f"warning: {doubt}", err=True)
    _write(build_remap(policy_contract(options.policy, options.contract), mapping), options)


@takes(ExportOptions, check=check_source)
def export(options: ExportOptions) -> None:
    """Write the policy as TorchScript and ONNX with its contract, and prove that it arrived unchanged."""
    from policy_port.remap import identity_remap

    _write(identity_remap(policy_contract(options.policy, options.contract)), options)


def _write(remap: Remap, options: ExportOptions) -> None:
    """Load the policy, write the port with `remap` around it and a progress bar, and print what was written."""
    from tqdm import tqdm

    from policy_port.checkpoints import load_policy
    from policy_port.contract.layout import observation_blocks
    from policy_port.contract.named_columns import named_columns
    from policy_port.export.write import STAGES, write_port
    from policy_port.motion.read import motion_of
    from policy_port.proof.recorded import read_recorded

    # A clip that can't be read is told before the policy is.
    motion = motion_of(remap.source, options.motion)
    _tell_doubts(remap.source, motion, options.motion)
    recorded = None if options.recorded is None else read_recorded(options.recorded, remap.target)
    loaded = load_policy(
        policy_file(options.policy),
        kind=options.library,
        statistics=options.statistics,
        width=remap.source.observation_size,
        terms=observation_blocks(remap.source),
        outputs=outputs_of(options.output),
        activation=options.activation,
        agent_yaml=options.agent,
        ignore=options.ignore or (),
        image_sizes={image.name: (image.height, image.width) for image in remap.source.images},
        mean=options.mean,
        names=named_columns(remap.source),
    )
    refuse_unheard(loaded.library, activation=options.activation, agent=options.agent)
    for note in loaded.notes:
        typer.echo(f"note: {note}", err=True)
    # Shown at once, on a terminal only: most of the time goes by inside one stage, in which nothing could refresh it.
    layout = "{desc:<20} {bar} {n}/{total}"
    with tqdm(total=len(STAGES), disable=None, leave=False, bar_format=layout) as bar:

        def progress(stage: str) -> None:
            bar.update(STAGES.index(stage) - bar.n)
            bar.set_description_str(stage)

        port = write_port(
            options.out,
            loaded,
            remap,
            formats=formats_of(options.format_),
            fold=options.fold,
            deploy=options.deploy,
            recorded=recorded,
            motion=motion,
            seed=options.seed,
            force=options.force,
            progress=progress,
        )
    typer.echo(summary(port))


def _tell_doubts(contract: Contract, motion: Motion | None, file: Path | None) -> None:
    """Print what of a contract and its clip exports as if it were right, and may not be.

    Raises:
        MotionError: When the clip asks for what the stated stops of the joints don't let through.
    """
    from policy_port.contract.doubts import doubts
    from policy_port.motion.plausible import check_stops, order_doubt, stated_stops

    if motion is not None:
        for note in motion.notes:
            typer.echo(f"note: {file}: {note}", err=True)
        clip = (check_stops(motion, stated_stops(contract), "the contract"), order_doubt(motion, contract))
        for line in filter(None, clip):
            typer.echo(f"WARNING: {file}: {line}", err=True)
    for line in doubts(contract):
        typer.echo(f"note: {line}", err=True)


_HEARD = {
    "activation": {"rsl_rl", "maniskill", "cleanrl", "skrl", "rl_games", "sb3"},
    "agent": {"rsl_rl", "skrl", "rl_games", "sb3"},
    "teacher-agent": {"rsl_rl", "skrl", "rl_games", "sb3"},
    "teacher": {"rsl_rl"},
}
"""Options that say what a file does not -> the libraries whose files leave it open."""


def refuse_unheard(library: str, **given: object) -> None:
    """Refuse an option that means nothing to a file of that library, which says it itself.

    Raises:
        BadParameter: Naming the option.
    """
    for option, value in given.items():
        if value and library not in _HEARD[option]:
            raise typer.BadParameter(
                f"--{option} means nothing to a file of {library}, only to those of "
                f"{', '.join(sorted(_HEARD[option]))}; leave it out"
            )


def outputs_of(given: Sequence[str] | None) -> dict[str, str]:
    """What `--output` says: NAME is the action, STATE=NAME carries on the input STATE."""
    parts = [text.rpartition("=") for text in given or ()]
    return {state or "actions": name for state, _, name in parts}


def summary(port: Port) -> str:
    """What was written, and how exactly it computes what the checkpoint computes."""
    joints = port.contract.action_joint_names
    lines = [f"port: {port.path}"]
    for file in sorted(port.path.iterdir()):
        lines.append(f"  {file.name:<22} {_size(file.stat().st_size):>10}")
    seen = "".join(f" and the image {i.name} ({i.height}x{i.width}x{i.channels})" for i in port.contract.images)
    many = f", {port.chunk} steps at a time" if port.chunk is not None else ""
    driven = f"drives {len(joints)} joints: {', '.join(joints)}{many}"
    lines.append(f"reads {port.contract.observation_size} numbers{seen}, {driven}")
    lines.append(_parity(port.parity))
    return "\n".join(lines)


def _parity(parity: dict[str, Any]) -> str:
    error, share = parity["max_error"], 100.0 * parity["max_ratio"]
    return f"parity: largest error {error:.1e}, at most {share:.0f} % of what is allowed; parity.json has every joint"


def _size(size: int) -> str:
    return f"{size} B" if size < 1024 else f"{size / 1024:.1f} KiB" if size < 1024**2 else f"{size / 1024**2:.1f} MiB"
