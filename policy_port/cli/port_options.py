"""The arguments that `remap` and `export` share, and what both print when the port stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from policy_port.port.folder import Port
    from policy_port.remap import Remap

PolicyArgument = Annotated[Path, typer.Argument(metavar="POLICY", help="Policy file: a checkpoint, TorchScript, ONNX.")]
ContractOption = Annotated[Path, typer.Option("--contract", help="Contract that the policy was trained with.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder to write; it must not exist yet.")]
FormatOption = Annotated[str, typer.Option("--format", help="torchscript, onnx, or both with a comma between.")]
FoldOption = Annotated[
    bool,
    typer.Option("--fold", help="Fold everything affine into the first and last layer: no cost, weights change."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace a folder that is already there.")]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="LIBRARY", help="Library that wrote the policy, if it can't be told.")
]
ActivationOption = Annotated[
    str | None, typer.Option(help="Activation of the hidden layers, where the file does not say.")
]
AgentOption = Annotated[
    Path | None, typer.Option("--agent", help="The trainer's agent.yaml, if it does not lie beside the policy.")
]
RecordedOption = Annotated[
    Path | None, typer.Option(help="Trace, .npz or .npy with observations of the port's side to prove parity on too.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of the observations that parity draws.")]


def write_and_tell(
    policy: Path,
    remap: Remap,
    out: Path,
    *,
    format_: str,
    fold: bool,
    force: bool,
    library: str | None,
    activation: str | None,
    agent: Path | None,
    recorded: Path | None,
    seed: int,
) -> None:
    """Load the policy, write the port with a progress bar, and print what was written."""
    from tqdm import tqdm

    from policy_port.checkpoints import load_policy
    from policy_port.export.write import STAGES, write_port
    from policy_port.proof.recorded import read_recorded

    observations = None if recorded is None else read_recorded(recorded, remap.target)
    sizes = {image.name: (image.height, image.width) for image in remap.source.images}
    loaded = load_policy(policy, kind=library, activation=activation, agent_yaml=agent, image_sizes=sizes)
    for note in loaded.notes:
        typer.echo(f"note: {note}", err=True)
    # Shown at once, on a terminal only: most of the time goes by inside one stage, in which nothing could refresh it.
    layout = "{desc:<20} {bar} {n}/{total}"
    with tqdm(total=len(STAGES), disable=None, leave=False, bar_format=layout) as bar:

        def progress(stage: str) -> None:
            bar.update(STAGES.index(stage) - bar.n)
            bar.set_description_str(stage)

        port = write_port(
            out,
            loaded,
            remap,
            formats=tuple(name.strip() for name in format_.split(",") if name.strip()),
            fold=fold,
            recorded=observations,
            seed=seed,
            force=force,
            progress=progress,
        )
    typer.echo(summary(port))


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
