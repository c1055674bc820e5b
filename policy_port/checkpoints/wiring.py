"""Several networks wired into one policy, as a YAML says; several vectors of one file, as the contract names them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from policy_port.checkpoints.files.networks_yaml import OBSERVATION, Part, Pick, Wiring, read_wiring
from policy_port.checkpoints.networks.several import OBSERVED, Columns, PartsApart, SeveralActor, Wired
from policy_port.checkpoints.policy import LoadedPolicy
from policy_port.errors import CheckpointError, closest

LIBRARY = "networks"
"""What a wired policy's `library` is."""
Names = Mapping[str, Sequence[tuple[int, int]]]
"""Column of the flat observation and age [control steps] of each number of a group or a term, by its name."""


def load_wired(path: Path, width: int | None, names: Names, load: Callable[..., LoadedPolicy]) -> LoadedPolicy:
    """Load the parts that a YAML names, and wire them.

    Args:
        path: The YAML.
        width: Width of the contract's observation; None where there is no contract.
        names: Groups and terms of the contract's observation; empty without one.
        load: Loads one policy file.

    Raises:
        CheckpointError: Naming the part, what it was given and what it expects.
    """
    return _Wirer(read_wiring(path), width, names, load).policy()


def wire_vectors(policy: LoadedPolicy, names: Names, width: int | None) -> LoadedPolicy:
    """Fill each vector that a file reads with the group or term of its name.

    Raises:
        CheckpointError: When there is no contract, or it has no group or term of that name, or one of another width.
    """
    reads = []
    listed = ", ".join(f"{name} {size}" for name, size in policy.vectors)
    for name, size in policy.vectors:
        if name not in names or len(names[name]) != size:
            has = f"'{name}' has {len(names[name])} there" if name in names else f"there is no '{name}'"
            known = f"; it names {', '.join(names)}" if names else ""
            raise CheckpointError(
                f"{policy.path}: reads several vectors: {listed}. Which numbers of the observation each is, a contract "
                f"says with a group or term of the same name and width, and {has if names else 'none was given'}{known}"
                ". Name them so and export with that --contract, or say it in a YAML of networks (docs/networks.md). "
                "If LEAPP wrote the file, put LEAPP's YAML beside it, which says what each is"
            )
        reads.append(Columns(source=OBSERVED, columns=tuple(column for column, _ in names[name])))
    total = max(at for item in reads for at in item.columns) + 1 if width is None else width
    read = {at for item in reads for at in item.columns}
    if unread := [at for at in range(total) if at not in read]:
        raise CheckpointError(
            f"{policy.path}: reads {listed}, and {_told(unread, names)} of the contract's observation is none of them; "
            "leave the term out of the contract"
        )
    part = Wired(name="policy", actor=policy.actor, reads=tuple(reads), original=policy.original)
    filled = ", ".join(f"{name} by the contract's {name}" for name, _ in policy.vectors)
    return replace(
        policy,
        actor=SeveralActor([part], total).eval(),
        original=lambda: PartsApart([part]),
        vectors=(),
        notes=(*policy.notes, f"vectors are filled by name: {filled}"),
    )


def _told(columns: Sequence[int], names: Names) -> str:
    """Columns in words, and the terms that they belong to."""
    terms = [name for name, slots in names.items() if {at for at, _ in slots} <= set(columns)]
    shown = ", ".join(map(str, columns[:8])) + (", ..." if len(columns) > 8 else "")
    return f"column {shown}" + (f" ({', '.join(terms)})" if terms else "")


class _Wirer:
    """Puts one file's parts together."""

    def __init__(self, wiring: Wiring, width: int | None, names: Names, load: Callable[..., LoadedPolicy]) -> None:
        self.wiring, self.width, self.names, self.load = wiring, width, names, load
        self.loaded: dict[str, LoadedPolicy] = {}
        for part in wiring.parts.values():
            for pick in part.picks:
                self._check_name(pick)
        self.order = tuple(self._ordered())

    def error(self, where: str, problem: str) -> CheckpointError:
        return CheckpointError(f"{self.wiring.path}: key '{where}' {problem}")

    def policy(self) -> LoadedPolicy:
        """The policy."""
        parts = []
        for name in self.order:
            reads = self._add(self.wiring.parts[name])
            loaded = self.loaded[name]
            parts.append(Wired(name=name, actor=loaded.actor, reads=reads, original=loaded.original))
        read = {at for part in parts for item in part.reads if item.source == OBSERVED for at in item.columns}
        width = max(read, default=-1) + 1 if self.width is None else self.width
        if unread := [at for at in range(width) if at not in read]:
            raise CheckpointError(
                f"{self.wiring.path}: no part reads {_told(unread, self.names)} of the {width} numbers of the "
                "observation. Add it to the `inputs` of the part that needs it, or leave the term out of the contract"
            )
        self._check_images()
        return self._joined(parts, width)

    def _ordered(self) -> Iterator[str]:
        """The parts in the order in which they run."""
        parts, done, open_ = self.wiring.parts, set[str](), list[str]()

        def follow(name: str) -> Iterator[str]:
            if name in open_:
                circle = " <- ".join([*open_[open_.index(name) :], name])
                raise self.error(
                    f"parts.{name}.inputs",
                    f"closes a circle: {circle}. Of parts that read each other none can be first",
                )
            if name in done:
                return
            open_.append(name)
            for pick in parts[name].picks:
                if pick.of in parts:
                    yield from follow(pick.of)
            open_.pop()
            done.add(name)
            yield name

        yield from follow(self.wiring.result)
        if unused := [name for name in parts if name not in done]:
            raise self.error(
                f"parts.{unused[0]}",
                f"is read by no part that {self.wiring.result} needs. Name it among the `inputs` of the part that "
                "reads it, or leave it out",
            )

    def _add(self, part: Part) -> tuple[Columns, ...]:
        """Load a part and tell what it reads."""
        by_vector = {vector: tuple(map(self._columns, picks)) for vector, picks in part.inputs.items()}
        given = {vector: sum(len(item.columns) for item in items) for vector, items in by_vector.items()}
        loaded = self._loaded(part, sum(given.values()))
        where = f"parts.{part.name}"
        if loaded.unexplained:
            shown = ", ".join(map(str, loaded.unexplained[:8]))
            raise self.error(
                where,
                f"is {part.file.name}, of which the network built from it leaves out {shown}. If it does not need "
                f"them, list their names there as `ignore: [{loaded.unexplained[0].group}]`",
            )
        if loaded.actor.chunk is not None:
            raise self.error(where, f"answers with chunks of {loaded.actor.chunk} actions, which can't be wired")
        self.loaded[part.name] = loaded
        expected = dict(loaded.vectors) if len(loaded.vectors) > 1 else {"": loaded.actor.obs_size}
        if "" not in by_vector and len(loaded.vectors) == 1:
            expected = dict(loaded.vectors)
        if given.keys() != expected.keys():
            raise self.error(
                f"{where}.inputs",
                f"fills {self._listed(given)}, but {part.file.name} reads {self._listed(expected)}; give each vector "
                "its own list under its name" + ("" if len(expected) > 1 else ", one vector a list alone"),
            )
        for vector, wanted in expected.items():
            if given[vector] != wanted:
                key = f"{where}.inputs" + (f".{vector}" if vector else "")
                sizes = zip(part.inputs[vector], by_vector[vector], strict=True)
                added = " + ".join(f"{pick} {len(item.columns)}" for pick, item in sizes)
                raise self.error(key, f"gives {added} = {given[vector]}, but {part.file.name} reads {wanted} numbers")
        return tuple(item for vector in expected for item in by_vector[vector])

    def _loaded(self, part: Part, width: int) -> LoadedPolicy:
        """A part's file; what an error advises as an option is a key of the part here."""
        try:
            return self.load(part.file, width=width, **part.options)
        except CheckpointError as cause:
            keys = " Here --NAME is `NAME` under the part, and --output STATE=NAME is `states: {STATE: NAME}`"
            said = f"{cause}.{keys}" if " --" in str(cause) else str(cause)
            raise type(cause)(f"{self.wiring.path}: part {part.name}: {said}") from cause

    def _check_name(self, pick: Pick) -> None:
        """Raise on a name that stands for nothing, or for two things."""
        parts = self.wiring.parts
        if pick.of in parts and pick.of in self.names:
            raise self.error(
                pick.where, f"is '{pick.of}', which is a part and also a group or term of the contract; rename the part"
            )
        if pick.of not in (*parts, *self.names, OBSERVATION):
            known = [*parts, OBSERVATION, *self.names]
            without = "" if self.names else "; a contract's groups and terms are known with its --contract alone"
            raise self.error(
                pick.where,
                f"is '{pick.of}', which is no part, group or term{closest(pick.of, known) or '.'} There are "
                f"{', '.join(known)}{without}",
            )

    @staticmethod
    def _listed(sizes: Mapping[str, int]) -> str:
        return ", ".join(f"{name or 'one vector'} ({size})" for name, size in sizes.items())

    def _columns(self, pick: Pick) -> Columns:
        """The numbers that a pick stands for."""
        if pick.of in self.order:
            if pick.ages is not None:
                raise self.error(pick.where, f"has ages, but {pick.of} is a part, which writes the present alone")
            return self._cut(pick, tuple(range(self.loaded[pick.of].actor.action_size)), self.order.index(pick.of))
        if pick.of == OBSERVATION:
            return self._observed(pick)
        slots = self.names[pick.of]
        if pick.ages is not None:
            there = sorted({age for _, age in slots})
            if missing := [age for age in pick.ages if age not in there]:
                raise self.error(
                    pick.where, f"asks for {missing[0]} steps ago, but {pick.of} holds {', '.join(map(str, there))}"
                )
            slots = [slot for age in pick.ages for slot in slots if slot[1] == age]
        return self._cut(pick, tuple(column for column, _ in slots), OBSERVED)

    def _observed(self, pick: Pick) -> Columns:
        """Columns of the flat observation."""
        if pick.ages is not None:
            raise self.error(pick.where, f"has ages of all of the {OBSERVATION}; name the group `of` which they are")
        if self.width is None and pick.columns is None:
            raise self.error(
                pick.where, f"reads all of the {OBSERVATION}, whose width only a --contract says; give its columns"
            )
        end = self.width if self.width is not None else pick.columns[1] if pick.columns is not None else 0
        return self._cut(pick, tuple(range(end)), OBSERVED)

    def _cut(self, pick: Pick, columns: tuple[int, ...], source: int) -> Columns:
        if pick.columns is None:
            return Columns(source=source, columns=columns)
        if pick.columns[1] > len(columns):
            raise self.error(
                pick.where, f"takes the columns {list(pick.columns)} of {pick.of}, which has {len(columns)} numbers"
            )
        return Columns(source=source, columns=columns[slice(*pick.columns)])

    def _check_images(self) -> None:
        images = [image.name for loaded in self.loaded.values() for image in loaded.actor.images]
        if twice := next((name for name in images if images.count(name) > 1), None):
            raise CheckpointError(f"{self.wiring.path}: two parts read an image {twice}; rename one in its file")

    def _shown(self, pick: Pick) -> str:
        """An item with its terms and steps, so that a person sees a wiring that is wrong and of the right width."""
        slots = self.names.get(pick.of, ()) if pick.columns is None else ()
        if pick.ages is not None:
            slots = [slot for slot in slots if slot[1] in pick.ages]
        if not slots:
            return str(pick)
        ages = list(dict.fromkeys(age for _, age in slots))
        held = {at for at, _ in self.names[pick.of]}
        terms = [name for name, own in self.names.items() if name != pick.of and {at for at, _ in own} < held]
        steps = "" if ages == [0] else f"{', '.join(map(str, ages))} steps ago, " if pick.ages is None else ""
        return f"{pick} ({', '.join(terms) + ': ' if terms else ''}{steps}{len(slots)} numbers)"

    def _joined(self, parts: Sequence[Wired], width: int) -> LoadedPolicy:
        """All that is known of the parts, as one policy."""
        loaded = {name: self.loaded[name] for name in self.order}
        sums = "".join(f"{name} {policy.sha256}\n" for name, policy in loaded.items())
        notes = [
            f"{name} ({loaded[name].path.name}) reads {', '.join(map(self._shown, self.wiring.parts[name].picks))}"
            for name in self.order
        ]
        notes += [
            f"{name}: tensors only; in the proof of the parts run apart it is the network that was read"
            for name in self.order
            if loaded[name].original is None
        ]

        def of_all(field: str) -> tuple[str, ...]:
            return tuple(f"{name}: {line}" for name, policy in loaded.items() for line in getattr(policy, field))

        return LoadedPolicy(
            path=self.wiring.path,
            sha256=hashlib.sha256(self.wiring.path.read_bytes() + sums.encode()).hexdigest(),
            library=LIBRARY,
            version=", ".join(f"{name} by {policy.library}" for name, policy in loaded.items()),
            evidence=("a YAML with networks_version",),
            actor=SeveralActor(parts, width).eval().requires_grad_(False),
            normaliser=None,
            distribution=f"of {self.wiring.result}: {loaded[self.wiring.result].distribution}",
            architecture=of_all("architecture"),
            leftovers=of_all("leftovers"),
            notes=(*notes, *of_all("notes")),
            original=lambda: PartsApart(parts),
            ignored=tuple(item for policy in loaded.values() for item in policy.ignored),
        )
