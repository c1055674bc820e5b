"""Which terms of a contract a robot's sensors give, and the contract of a student that reads only those."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policy_port.contract.sensors import OWN, SENSORS, Way, row_of
from policy_port.contract.spec import Contract
from policy_port.contract.term import Term
from policy_port.errors import ContractError, closest
from policy_port.text_table import columns

HISTORY = {"layout": "term_major", "order": "oldest_first", "fill": "first"}
"""How a history is laid out that nothing else states: as Isaac Lab does."""

Chains = Mapping[str, tuple[str, ...]]
"""Each link of a robot file with the joints between it and the base."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the table says of one term."""

    term: Term
    """The term."""
    way: Way | None
    """How it is come by; None where the sensors don't give it."""
    reason: str
    """Why not."""

    @property
    def sensed(self) -> bool:
        """Whether a sensor tells it, or the controller what it did before: what a history of tells more."""
        return self.way is not None and (bool(self.way.sensors) or self.term.term in ("last_action", "joint_target"))

    @property
    def words(self) -> str:
        """How, or why not."""
        if self.way is None:
            return self.reason
        by = ", ".join(self.way.sensors) or " and ".join(self.way.own)
        return f"{by}: {self.way.how}" + (f"; {self.way.note}" if self.way.note else "")


def check_sensors(sensors: Sequence[str]) -> tuple[str, ...]:
    """Sensors by name, each once.

    Raises:
        ContractError: When one is unknown or stands twice, or there is none.
    """
    known = "; ".join(f"{name} ({words})" for name, words in SENSORS.items())
    if not sensors:
        raise ContractError(f"no sensor is named; name those that the robot has, of: {known}")
    for name in sensors:
        if name not in SENSORS:
            raise ContractError(f"'{name}' is no sensor{closest(name, SENSORS) or '.'} Known: {known}")
        if sensors.count(name) > 1:
            raise ContractError(f"sensor '{name}' is named twice; name each once")
    return tuple(sensors)


def measured(
    contract: Contract, sensors: Collection[str], *, own: Collection[str] = tuple(OWN), chains: Chains | None = None
) -> tuple[Finding, ...]:
    """What is known of each observation term on a robot with these sensors.

    Args:
        contract: Of the policy.
        sensors: Names of SENSORS.
        own: What the controller knows beside them, of OWN.
        chains: Joints that lead to each link; links are not looked for, if not given.

    Raises:
        ContractError: When a term names a link that `chains` does not have.
    """
    return tuple(_finding(term, contract, sensors, own, chains) for term in contract.observation.terms)


def _finding(
    term: Any, contract: Contract, sensors: Collection[str], own: Collection[str], chains: Chains | None
) -> Finding:
    row = row_of(term, contract)
    reasons = [reason for sensor, reason in row.refused if sensor in sensors]
    for way in row.ways:
        if not set(way.sensors) <= set(sensors):
            continue
        lacking = [OWN[name] for name in way.own if name not in own]
        unread = _unread(term, contract, chains) if "kinematics" in way.own and chains is not None else ""
        if not lacking and not unread:
            return Finding(term=term, way=way, reason="")
        reasons.append(unread or f"it is {lacking[0]}, which is not done here")
    if not row.ways:
        reasons.append("only the simulation computes it")
    wanted = " or ".join(" + ".join(way.sensors) for way in row.ways if way.sensors)
    if wanted and not any(set(way.sensors) <= set(sensors) for way in row.ways):
        reasons.append(f"it takes {wanted}")
    return Finding(term=term, way=None, reason="; ".join(reasons))


def _unread(term: Any, contract: Contract, chains: Chains) -> str:
    """Which joint on the way to a term's links no encoder of the contract reads."""
    links = term.senses().links
    if term.term.startswith("motion_anchor") and contract.motion is not None and contract.motion.anchor is not None:
        links = (contract.motion.anchor,)
    for link in links:
        if link not in chains:
            raise ContractError(
                f"observation term '{term.label}' names link '{link}', which the robot file does not "
                f"have{closest(link, chains) or '.'} Its links: {', '.join(chains)}"
            )
        for joint in chains[link]:
            if joint not in contract.joints:
                return f"joint '{joint}' on the way to link '{link}' is none of the contract's, so no encoder reads it"
    return ""


@dataclass(frozen=True, kw_only=True)
class Measurable:
    """A contract held against sensors."""

    contract: Contract
    """The whole contract: a teacher's, say."""
    sensors: tuple[str, ...]
    """What the robot has."""
    findings: tuple[Finding, ...]
    """One per term, in the contract's order."""

    @property
    def dropped(self) -> tuple[str, ...]:
        """Labels of terms, and names of images, that the sensors don't give."""
        blind = () if "camera" in self.sensors else tuple(image.name for image in self.contract.images)
        return (*(finding.term.label for finding in self.findings if finding.way is None), *blind)

    @property
    def idle(self) -> tuple[str, ...]:
        """Sensors that no term needs."""
        used = {name for finding in self.findings if finding.way is not None for name in finding.way.sensors}
        used |= {"camera"} if self.contract.images else set()
        return tuple(name for name in self.sensors if name not in used)

    def student(self, history: int | None = None) -> Contract:
        """The contract of a policy that reads only what the sensors give.

        Scales, clips, delays and the order of what stays are as they were, and so is the action.

        Args:
            history: Steps of each term that a sensor gives, and of past actions; as the contract has it, if not given.

        Raises:
            ContractError: When nothing that is measured stays, or the contract's own histories are in the way.
        """
        kept = [finding for finding in self.findings if finding.way is not None]
        sees = "camera" in self.sensors and bool(self.contract.images)
        if not any(finding.way is not None and finding.way.sensors for finding in kept) and not (kept and sees):
            raise ContractError(
                f"contract '{self.contract.name}': {', '.join(self.sensors)} gives none of its terms, so a student "
                f"would see nothing of its robot:\n{self.text()}\nName the sensors that the robot has"
            )
        data = self.contract.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        stays = [finding.way is not None for finding in self.findings]
        observation = data["observation"]
        observation["terms"] = [term for term, stay in zip(observation["terms"], stays, strict=True) if stay]
        if history is not None:
            self._stack(observation, kept, history)
        named = {finding.term.group for finding in kept}
        groups = {name: group for name, group in observation.pop("groups", {}).items() if name in named}
        observation |= {"groups": groups} if groups else {}
        reading = any(finding.term.term.startswith("motion_") for finding in kept)
        if not reading and all(term.adds_to != "motion" for term in self.contract.action.terms):
            data.pop("motion", None)
        if "camera" not in self.sensors:
            data.pop("images", None)
        data["name"] = f"{self.contract.name}_student"
        data["sources"] = self._sources(stays, history)
        return _valid(data)

    def _stack(self, observation: dict[str, Any], kept: Sequence[Finding], history: int) -> None:
        grouped = [finding.term.label for finding in kept if finding.term.group is not None]
        if grouped:
            raise ContractError(
                f"contract '{self.contract.name}': observation term '{grouped[0]}' is of a history group, which says "
                "its own steps; leave --history out, and mend observation.groups of what is written"
            )
        layout = observation.setdefault("history", dict(HISTORY))
        for term, finding in zip(observation["terms"], kept, strict=True):
            # A history of one step's terms together has every term in every step.
            if layout["layout"] == "time_major" or finding.sensed or finding.term.history > 1:
                term["history"] = history

    def _sources(self, stays: Sequence[bool], history: int | None) -> dict[str, str]:
        places: dict[str, str | None] = {}
        now = 0
        for before, (finding, stay) in enumerate(zip(self.findings, stays, strict=True)):
            places[finding.term.label] = finding.term.label if stay else None
            places[str(before)] = str(now) if stay else None
            now += stay
        found = {}
        for key, text in self.contract.sources.items():
            start, _, rest = key.partition("observation.terms.")
            place, dot, more = rest.partition(".")
            if start or not rest or place not in places:
                found[key] = text
            elif (new := places[place]) is not None:
                found[f"observation.terms.{new}{dot}{more}"] = text
        left_out = f"; left out: {', '.join(self.dropped)}" if self.dropped else ""
        found["student"] = f"contract '{self.contract.name}', what {', '.join(self.sensors)} give{left_out}"
        if history is not None:
            given = "the contract's" if self.contract.observation.history is not None else "Isaac Lab's"
            found["observation.history"] = f"{history} steps as asked for; layout, order and fill are {given}"
        return found

    def text(self) -> str:
        """What stays and what goes, a line per term and image, with the way or the reason."""
        rows = [
            (
                "kept" if finding.way is not None else "dropped",
                finding.term.label,
                str(self.contract.term_size(finding.term)),
                finding.words,
            )
            for finding in self.findings
        ]
        sees = "camera" in self.sensors
        rows += [
            ("kept" if sees else "dropped", image.name, "image", "camera: pictures" if sees else "it takes camera")
            for image in self.contract.images
        ]
        return columns(rows)


def measurable(contract: Contract, sensors: Sequence[str], chains: Chains | None = None) -> Measurable:
    """Hold a contract against the sensors that a robot has; see `measured`."""
    names = check_sensors(sensors)
    return Measurable(contract=contract, sensors=names, findings=measured(contract, names, chains=chains))


def layout_text(contract: Contract) -> str:
    """How the observation is laid out, in words: widths, and what a history's steps stand like."""
    history = contract.observation.history
    stated = "" if history is None else f"; history {history.layout}, {history.order}, filled with {history.fill}"
    return contract.widths() + stated


def _valid(data: dict[str, Any]) -> Contract:
    """A contract by its own YAML's rules."""
    import yaml

    from policy_port.contract.spec import load_contract

    return load_contract("student", yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode())
