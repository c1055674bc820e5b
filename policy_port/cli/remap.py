"""`policy-port remap`: carry a policy to another parsing of its robot."""

from __future__ import annotations

from typing import Annotated

import typer

from policy_port.cli.port_options import (
    ActivationOption,
    AgentOption,
    ContractOption,
    FoldOption,
    ForceOption,
    FormatOption,
    FromOption,
    OutOption,
    PolicyArgument,
    RecordedOption,
    SeedOption,
)


def remap(
    policy: PolicyArgument,
    contract: ContractOption,
    mapping: Annotated[str, typer.Option("--mapping", help="Mapping file, or the name of a shipped one.")],
    out: OutOption,
    format_: FormatOption = "torchscript,onnx",
    fold: FoldOption = False,
    force: ForceOption = False,
    library: FromOption = None,
    activation: ActivationOption = None,
    agent: AgentOption = None,
    recorded: RecordedOption = None,
    seed: SeedOption = 0,
) -> None:
    """Write the policy for another parsing of its robot, and prove that it arrived unchanged."""
    from policy_port.cli.port_options import write_and_tell
    from policy_port.contract import load_contract, load_mapping
    from policy_port.contract.mapping import doubts
    from policy_port.remap import build_remap

    loaded = load_mapping(mapping)
    for doubt in doubts(loaded):
        typer.echo(f"warning: {doubt}", err=True)
    write_and_tell(
        policy,
        build_remap(load_contract(contract), loaded),
        out,
        format_=format_,
        fold=fold,
        force=force,
        library=library,
        activation=activation,
        agent=agent,
        recorded=recorded,
        seed=seed,
    )
