#!/usr/bin/env python3
"""What `inspect --probe` tells of right and wrong joint orders: count, and write benchmarks/probe.md.

The policies lie beside the project (../shared/real_policies), their right contracts in tests/real_policies. Each
contract is made wrong in the order of its observation, of its action, or of all its joints, and probed.
"""

from __future__ import annotations

import argparse
import collections
import copy
import datetime
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from policy_port.checkpoints import Actor, load_policy
from policy_port.contract import Contract, load_contract
from policy_port.contract.joint_terms import JointTerm
from policy_port.mistakes.orders import Names
from policy_port.probe.network import Network, ordinary_observations
from policy_port.probe.orders import Orders, Relabelling, judge_orders, orders_in_use

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("POLICY_PORT_SHARED", ROOT.parent / "shared")) / "real_policies" / "policies"
PLACES = ("observation", "action", "all")
KINDS = (
    "another parser's",
    "sides and kinds turned over",
    "sides exchanged",
    "left and right",
    "two joints",
    "shuffled",
)
OUTCOMES = ("told", "among", "unnamed", "open", "wrong")
EACH = 4
"""Orders of each kind, where there are as many."""
RANDOM = 10
"""Random networks per contract."""

NOTES = """\
- told: the right order is the only one named. among: it is one of those named, which the network can't tell apart, such
  as an order of the observation and the same one of the action, or what is as symmetric with left and right
  exchanged. unnamed: the stated order is said to be wrong, and no other is named. open: nothing is claimed. wrong: the
  right order is not among those named; must be 0.
- Where observation and action are in one wrong order, only the symmetry of the robot tells, so the right order is
  always among its like: at least the one with left and right exchanged. That one itself looks as right as it.
- Random networks have the widths of the policies and tell nothing; each claim would be one too many.
"""


def policies() -> Iterator[tuple[str, Contract, Actor]]:
    """Every real policy with its right contract."""
    for file in sorted((ROOT / "tests" / "real_policies").glob("*.yaml")):
        beside = sorted(SHARED.parent.glob(f"*/{file.stem}.*"))
        policy = next(path for path in beside if path.suffix != ".yaml")
        yield file.stem, load_contract(file), load_policy(policy).actor


def judged(network: Network, contract: Contract, seed: int = 0) -> Orders:
    return judge_orders(contract, network.response(ordinary_observations(contract, np.random.default_rng(seed))))


def wrong_orders(contract: Contract, rng: np.random.Generator) -> Iterator[tuple[str, Names]]:
    """Orders of the contract's joints that are not the right one, each with its kind."""
    names, found = contract.joint_names, collections.defaultdict(list)
    for order, (words, known) in orders_in_use(contract, names).items():
        plain = words == "left and right exchanged" or words in (
            "left, right are right, left",
            "right, left are left, right",
        )
        turned = words.startswith(("side by side", "kind by kind"))
        found[KINDS[0 if known else 3 if plain else 1 if turned else 2]].append(order)
    for _ in range(EACH):
        pair = list(names)
        i, j = rng.choice(len(names), 2, replace=False)
        pair[i], pair[j] = pair[j], pair[i]
        found[KINDS[4]].append(tuple(pair))
        found[KINDS[5]].append(tuple(map(str, rng.permutation(names))))
    for kind, orders in found.items():
        for place in rng.permutation(len(orders))[:EACH]:
            yield kind, orders[place]


def made_wrong(contract: Contract, order: Names, place: str) -> Contract:
    """The contract with the joints of one place, or of all, called as in another order."""
    true = dict(zip(contract.joint_names, order, strict=True))
    labels = [term.label for term in contract.observation.terms if isinstance(term, JointTerm)]
    mistake = Relabelling(
        words="",
        known=False,
        action={} if place == "observation" else true,
        observed={} if place == "action" else dict.fromkeys(labels, true),
    )
    wrong = mistake.mended(contract)
    assert wrong is not None
    return wrong


def all_names(contract: Contract | None) -> tuple[Names, ...]:
    """The joints of the action and of each term."""
    assert contract is not None
    terms = [term.elements(contract) for term in contract.observation.terms if isinstance(term, JointTerm)]
    return (contract.action_joint_names, *terms)


def outcome(found: Orders, wrong: Contract, right: Contract) -> str:
    hits = [all_names(other.mended(wrong)) == all_names(right) for other in found.looks_like]
    if not hits:
        return "unnamed" if found.because else "open"
    return "wrong" if not any(hits) else "told" if len(hits) == 1 else "among"


def randomised(actor: Actor, seed: int) -> Actor:
    """The network with other weights of the same size."""
    other = copy.deepcopy(actor)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in other.state_dict().values():
            if tensor.is_floating_point() and tensor.numel() > 1:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * tensor.std())
    return other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "probe.md", help="the table to write")
    options = parser.parse_args()
    counted: collections.Counter[tuple[str, str, str]] = collections.Counter()
    rights, claims = [], 0
    for name, contract, actor in tqdm(list(policies())):
        network = Network(actor)
        right = [judged(network, contract, seed) for seed in range(3)]
        rights.append((name, right))
        for seed in range(RANDOM):
            claims += bool(judged(Network(randomised(actor, seed)), contract).because)
        for kind, order in wrong_orders(contract, np.random.default_rng(5)):
            for place in PLACES:
                wrong = made_wrong(contract, order, place)
                counted[kind, place, outcome(judged(network, wrong), wrong, contract)] += 1
    options.out.write_text(document(rights, claims, counted), encoding="utf-8")
    print(options.out.read_text(encoding="utf-8"))


def document(
    rights: list[tuple[str, list[Orders]]], claims: int, counted: collections.Counter[tuple[str, str, str]]
) -> str:
    lines = [
        "# What a network tells of its joint order",
        "",
        f"{datetime.date.today().isoformat()}; `benchmarks/probe.py`, eight real policies, "
        f"{sum(counted.values())} wrong contracts, {RANDOM} random networks to each contract.",
        "",
        "Wrong contracts, by what is in another order than the contract says:",
        "",
        f"| order | where | {' | '.join(OUTCOMES)} |",
        f"|---|---|{'---|' * len(OUTCOMES)}",
    ]
    for kind in KINDS:
        for place in PLACES:
            lines.append(f"| {kind} | {place} | {' | '.join(str(counted[kind, place, o]) for o in OUTCOMES)} |")
    totals = [sum(n for (_, _, o), n in counted.items() if o == outcome) for outcome in OUTCOMES]
    lines += [f"| all | | {' | '.join(map(str, totals))} |", "", "Right contracts, three seeds each:", ""]
    lines += ["| policy | claims | joint terms | symmetry |", "|---|---|---|---|"]
    for name, right in rights:
        terms = ", ".join(f"{term.label} {term.verdict} {term.stated:.1f}" for term in right[0].terms)
        fit = right[0].fit
        shown = "-" if fit is None else f"{fit.value:.2f}"
        lines.append(f"| {name} | {sum(bool(found.because) for found in right)} | {terms} | {shown} |")
    lines += ["", f"Random networks: {claims} claims in {RANDOM * len(rights)}.", "", NOTES]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
