"""Mistakes of the mutation score about reference motions, and what verify and diagnose say of them.

Each policy that follows a clip (../shared/real_policies, as crossing.yaml lists them) is played in MuJoCo with its
correct contract; then the contract, the clip or the order of the anchor's six numbers is spoilt in one way at a time.
What shows the network the same numbers is no mistake, and is left out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from crossing import CONTRACTS, ROOT, SHARED, export, load_catalogue

from policy_port.contract import Contract
from policy_port.contract.motion_terms import MotionJointTerm, ReferenceTerm
from policy_port.errors import PolicyPortError
from policy_port.motion.motion import Motion, velocities
from policy_port.port.folder import load_port
from policy_port.replay.held import Held
from policy_port.replay.play import Output, play_on_plant
from policy_port.verdict.diagnose import diagnose_contract
from policy_port.verdict.evidence import Evidence, read_evidence
from policy_port.verdict.rebuild import rebuild
from policy_port.verdict.verify import verify_contract

SECONDS = 3.0
COLUMNS = (0, 2, 4, 1, 3, 5)
"""Where the six numbers of a rotation stand when they are written column by column."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One way to be wrong, and what diagnose has to say of it."""

    key: str
    named: tuple[str, ...]
    """Parts of the first line, one of which names it."""
    contract: Callable[[Contract], Contract] = lambda contract: contract
    clip: Callable[[Motion, Contract], Motion] = lambda motion, contract: motion
    columns: bool = False
    """Whether the source wrote the rotation column by column."""


def following(**changes: Any) -> Callable[[Contract], Contract]:
    """The motion followed in another way."""

    def change(contract: Contract) -> Contract:
        assert contract.motion is not None
        return contract.model_copy(update={"motion": contract.motion.model_copy(update=changes)})

    return change


def with_terms(change: Callable[[Any], Any]) -> Callable[[Contract], Contract]:
    """Each term of the motion in another way."""

    def changed(contract: Contract) -> Contract:
        terms = tuple(change(term) if isinstance(term, ReferenceTerm) else term for term in contract.observation.terms)
        observation = contract.observation.model_copy(update={"terms": terms})
        return contract.model_copy(update={"observation": observation})

    return changed


def with_joints(order: Callable[[Contract], tuple[str, ...]]) -> Callable[[Contract], Contract]:
    """The joints of the command in another order."""
    return lambda contract: with_terms(
        lambda term: term.model_copy(update={"joints": order(contract)}) if isinstance(term, MotionJointTerm) else term
    )(contract)


def at_rate(rate: float) -> Callable[[Motion, Contract], Motion]:
    """The clip's file taken for one of another rate."""
    return lambda motion, _: replace(motion, rate=rate, joint_vel=velocities(motion.joint_pos, rate))


def quaternions(columns: tuple[int, ...]) -> Callable[[Motion, Contract], Motion]:
    """The clip's quaternions in another order."""

    def change(motion: Motion, _: Contract) -> Motion:
        names = [name for name in ("root_quat", "link_quat") if getattr(motion, name) is not None]
        return replace(motion, **{name: getattr(motion, name)[..., columns] for name in names})

    return change


def clip_order(order: Callable[[Motion, Contract], tuple[str, ...]]) -> Callable[[Motion, Contract], Motion]:
    """The columns of the clip taken in another order of joints."""
    return lambda motion, contract: replace(motion, joint_names=order(motion, contract))


MISTAKES = (
    Mistake(
        key="pelvis for torso as the anchor", named=("motion.anchor",), contract=following(anchor="pelvis", chain=())
    ),
    Mistake(key="no yaw alignment", named=("motion.align yaw",), contract=following(align="none")),
    Mistake(key="a frame too late", named=("the frame is 1 earlier",), contract=with_terms(lambda term: term.later(1))),
    Mistake(key="a frame too early", named=("the frame is 1 later",), contract=with_terms(lambda term: term.later(-1))),
    Mistake(
        key="two frames too late", named=("the frame is 2 earlier",), contract=with_terms(lambda term: term.later(2))
    ),
    Mistake(key="followed at 25 Hz", named=("motion.rate",), contract=following(rate=25.0)),
    Mistake(key="followed at 100 Hz", named=("motion.rate",), contract=following(rate=100.0)),
    Mistake(
        key="command in the clip's joint order, not the policy's",
        named=("motion_command: ",),
        contract=with_joints(lambda contract: tuple(sorted(contract.joint_names))),
    ),
    Mistake(
        key="command scaled by a half",
        named=("motion_command: factor 0.5",),
        contract=with_terms(
            lambda term: term.model_copy(update={"scale": 0.5}) if isinstance(term, MotionJointTerm) else term
        ),
    ),
    Mistake(
        key="the clip's quaternions wxyz taken for xyzw", named=("quaternions are",), clip=quaternions((3, 0, 1, 2))
    ),
    Mistake(
        key="the clip's quaternions xyzw taken for wxyz", named=("quaternions are",), clip=quaternions((1, 2, 3, 0))
    ),
    Mistake(key="the clip's rate 30 for 60 Hz", named=("frames per second",), clip=at_rate(30.0)),
    Mistake(key="the clip's rate 120 Hz", named=("frames per second",), clip=at_rate(120.0)),
    Mistake(
        key="the clip's joints in alphabetical order",
        named=("columns stand in", "motion_command: joints in another order"),
        clip=clip_order(lambda motion, _: tuple(sorted(motion.joint_names))),
    ),
    Mistake(
        key="the clip's joints in the policy's order",
        named=("columns stand in", "motion_command: joints in another order"),
        clip=clip_order(lambda motion, contract: contract.joint_names),
    ),
    Mistake(key="columns for rows in the anchor's rotation", named=("the first column then the second",), columns=True),
)


def clip_followers() -> list[str]:
    """The policies that follow a clip; none without ../shared."""
    catalogue = load_catalogue(ROOT / "benchmarks" / "crossing.yaml", CONTRACTS)
    return [name for name, entry in catalogue.items() if "follow" in entry.get("bar", {})] if SHARED.is_dir() else []


def scored(name: str) -> Iterator[tuple[str, str, bool, bool, str]]:
    """Play one policy and make every mistake; policy, mistake, caught, named, first line."""
    entry = load_catalogue(ROOT / "benchmarks" / "crossing.yaml", CONTRACTS)[name]
    with tempfile.TemporaryDirectory() as folder:
        port = Path(folder) / "port"
        if said := export(name, entry, port):
            raise SystemExit(said)
        pilot, out = load_port(port).pilot(), Path(folder) / "run"
        out.mkdir()
        job = Held(seconds=SECONDS, motion=pilot.motion)
        play_on_plant(pilot, job, Output(folder=out), kind="mujoco", robot=SHARED / entry["files"][0], meshes=False)
        evidence = replace(read_evidence(out / "trace.npz"), motion=pilot.motion)
        right = verify_contract(pilot.contract, evidence)
        yield name, "(none)", not right.ok, right.ok, "the correct contract is equal" if right.ok else right.text()
        for mistake in MISTAKES:
            if (told := judged(mistake, pilot.contract, evidence)) is not None:
                yield name, mistake.key, *told


def judged(mistake: Mistake, contract: Contract, evidence: Evidence) -> tuple[bool, bool, str] | None:
    """Whether a mistake is caught and named, and what diagnose says first; None where it changes no number."""
    motion = evidence.motion
    assert motion is not None
    changed = mistake.clip(motion, contract)
    wrong = mistake.contract(contract)
    seen = replace(evidence, motion=changed)
    if mistake.columns:
        observation = evidence.arrays["observation"].copy()
        first = 0
        for term in contract.observation.terms:
            if term.term == "motion_anchor_ori_b":
                observation[:, :, first : first + 6] = observation[:, :, [first + k for k in COLUMNS]]
            first += contract.term_size(term) * term.history
        seen = seen.with_arrays({"observation": observation})
    try:
        if not mistake.columns and np.allclose(
            rebuild(wrong, seen).values, rebuild(contract, evidence).values, atol=1e-6
        ):
            return None
        caught = not verify_contract(wrong, seen).ok
        text = diagnose_contract(wrong, seen).text()
    except PolicyPortError as error:
        return True, any(word in str(error) for word in mistake.named), f"refused: {error}"
    lines = [line for line in text.splitlines() if line.strip()]
    first_line = lines[1] if len(lines) > 1 else text
    return caught, any(word in first_line for word in mistake.named), first_line.strip()
