"""What the trainer's configuration states about an actor, held against the file that it lies beside."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from torch import nn

from policy_port.checkpoints.files.agent_config import AgentConfig, find_agent_config
from policy_port.checkpoints.networks.activations import ACTIVATIONS, activation_named
from policy_port.checkpoints.policy import Leftover, LoadOptions, Source
from policy_port.errors import CheckpointError

Activation = Callable[[], nn.Module]
LARGEST = 1e30
"""Beyond every number of a policy, and within float32."""


@dataclass(frozen=True, kw_only=True)
class Stated:
    """The configuration of one run; empty where there is none."""

    where: str
    """The checkpoint."""
    config: AgentConfig
    options: LoadOptions
    activations: dict[str, Activation] = field(default_factory=lambda: ACTIVATIONS)
    """The library's names of activations."""

    @classmethod
    def of(cls, source: Source, options: LoadOptions, activations: dict[str, Activation] = ACTIVATIONS) -> Stated:
        """The configuration that the user names, or that lies beside the file."""
        config = find_agent_config(source.path, options.agent_yaml)
        return cls(where=str(source.path), config=config, options=options, activations=activations)

    def section(self, *way: str) -> dict[str, object]:
        """A nested table; empty where it is missing."""
        return self.config.section(*way)

    def error(self, what: str) -> CheckpointError:
        """An error of the configuration."""
        return CheckpointError(f"{self.config.path or self.where}: {what}")

    def activation(self, named: object, at: str) -> tuple[Activation, str]:
        """The activation of the hidden layers and who named it; `at` is where the configuration should."""
        given = self.options.activation
        if isinstance(named, list) and named:
            if any(item != named[0] for item in named):
                raise self.error(
                    f"{at} names no single one of the activations, but {named!r:.80}; that is not supported"
                )
            named = named[0]
        if given is not None:
            other = isinstance(named, str) and named.lower() != given.lower()
            note = f"; {self.config.path} says {named}" if other else ""
            return activation_named(given, "--activation", self.activations), f"--activation{note}"
        if self.config.path is None or not isinstance(named, str):
            missing = f"{self.config.path} has no activation under {at}"
            raise CheckpointError(
                f"{self.where}: the activation is not in the checkpoint and "
                f"{missing if self.config.path else 'no params/agent.yaml lies beside it'}. elu and relu load equally "
                "well and act differently: put the run's params/agent.yaml beside the checkpoint, or say --activation "
                "elu (the usual one) if you know it"
            )
        found = activation_named(named, f"{self.config.path}: {at}", self.activations)
        return found, f"{self.config.path.name} ({named})"

    def agrees(self, what: str, stated: object, found: object) -> None:
        """Raise when the configuration states something else than the file has, and so comes from another run."""
        if not _empty(stated) and stated != found:
            raise self.error(
                f"{what} {stated}, but the network in {self.where} has {found}; the configuration belongs to another "
                "run"
            )

    def normaliser(self, claims: Mapping[str, object], found: str | None) -> None:
        """Hold what the configuration says of an observation normaliser against the file.

        Args:
            claims: Value by key of the configuration; None and an empty table say nothing.
            found: Where in the file the statistics are; None where it has none.

        Raises:
            CheckpointError: Statistics are stated and missing, or there and denied.
        """
        said = {key: is_on(value) for key, value in claims.items() if not _empty(value)}
        if found is None and True in said.values():
            key = next(key for key, value in said.items() if value)
            raise self.error(
                f"{key} says that observations are normalised, and {self.where} holds no statistics of them; without "
                "them the network acts differently. Take the checkpoint as the trainer saved it. If the run had no "
                f"normaliser after all, give a configuration that says so ({key}: false)"
            )
        if found is not None and said and True not in said.values():
            raise self.error(
                f"{' and '.join(said)} denies a normaliser of observations, and {self.where} holds one in {found}; the "
                "configuration belongs to another run. Give the run's own with --agent"
            )

    def number(self, value: object, default: float, key: str) -> float:
        """A finite number, or the default where nothing is stated."""
        if _empty(value):
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
            raise self.error(f"{key} is {value!r:.60}; expected a number")
        return float(value)

    def bound(self, value: object, default: float, key: str) -> float:
        """A positive bound, infinite where nothing is clipped, or the default where nothing is stated."""
        bound = math.inf if value == math.inf else self.number(value, default, key)
        if bound <= 0:
            raise self.error(f"{key} is {bound:g}; expected a positive bound")
        return bound

    def doubts(self, *, normalised: bool) -> tuple[str, ...]:
        """What can't be known without a configuration."""
        if self.config.path is not None:
            return ()
        more = "" if normalised else ", and that the run did not normalise its observations,"
        return (f"no agent.yaml: that the network is of the library's own class{more} is taken on trust",)

    def unknown_keys(self, known: Mapping[tuple[str, ...], frozenset[str]]) -> tuple[Leftover, ...]:
        """Keys that are set and that nobody here knows, by the table they stand in; they may change the actor."""
        name = "" if self.config.path is None else self.config.path.name
        return tuple(
            Leftover(f"{name}:{'.'.join((*way, str(key)))}", f"= {value!r:.60}", 0)
            for way, keys in known.items()
            for key, value in self.section(*way).items()
            if key not in keys and is_on(value)
        )

    def foreign_class(self, place: str, *, known: Collection[str], package: str = "") -> tuple[Leftover, ...]:
        """The class at a place of the configuration, where it is none of the library's and may act in its own way.

        Args:
            place: Keys down to the class, with dots between.
            known: Names of the library's own classes there, in small letters.
            package: The library's package.
        """
        *way, key = place.split(".")
        value = (self.section(*way) if way else self.config.values).get(key)
        if not is_on(value) or str(known_class(value, package)).lower() in known:
            return ()
        name = "" if self.config.path is None else self.config.path.name
        return (Leftover(f"{name}:{place}", f"= {value!r:.60}", 0),)


def is_on(value: object) -> bool:
    """Whether a setting is on, as Python takes it; the word None is rl_games' for nothing."""
    return bool(value) and value != "None"


def known_class(value: object, package: str) -> str | None:
    """A class by its bare name, where it is named alone or as one of `package`; None where it is another's."""
    # YAML that names a Python class itself, !!python/name:MODULE.CLASS, is read as name:MODULE.CLASS.
    module, _, name = str(value).removeprefix("name:").replace(":", ".").rpartition(".")
    return name if not module or module.split(".")[0] == package else None


def _empty(value: object) -> bool:
    """Whether a key says nothing: Isaac Lab writes {} for what is unset, rl_games the word None."""
    return value is None or value in ({}, [], "", "None")
