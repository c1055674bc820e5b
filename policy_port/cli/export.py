"""`policy-port export`: write a policy as it is, with its contract and the proof."""

from __future__ import annotations

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


def export(
    policy: PolicyArgument,
    contract: ContractOption,
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
    """Write the policy as TorchScript and ONNX with its contract, and prove that it arrived unchanged."""
    from policy_port.cli.port_options import write_and_tell
    from policy_port.contract import load_contract
    from policy_port.remap import identity_remap

    write_and_tell(
        policy,
        identity_remap(load_contract(contract)),
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
