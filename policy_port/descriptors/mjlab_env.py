"""params/env.yaml of an mjlab run: what its ONNX metadata rounds to three decimals, or does not say at all.

mjlab writes its configuration with `yaml.dump(asdict(cfg))`: functions and enumerations stand there as Python tags, of
which only the names are read; the classes of its dataclasses are lost, so that an actuator or an action is told by its
keys. Read from mjlab 1.6.0; older files name a few keys otherwise.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_port.descriptors.draft import BASE_TERMS, Draft
from policy_port.descriptors.record import Record
from policy_port.descriptors.tagged_yaml import Foreign, parsed, text_at
from policy_port.descriptors.term_params import matches
from policy_port.errors import ContractError

PLACES = ("params/{}", "{}", "../params/{}")
"""Where a run's files lie, seen from the folder of its ONNX file; mjlab's `train` writes the first."""

ENV, AGENT = "env.yaml", "agent.yaml"

ROBOT = "robot"
"""Entity whose joints mjlab's exporter names."""

OF_ANOTHER_RUN = (
    "is it the env.yaml of this policy? If not, import a copy of the ONNX file that lies away from it, and give what "
    "the metadata does not say"
)
"""What to do about an env.yaml that contradicts the metadata beside it."""

_ZOO = re.compile(r"mjlab\.asset_zoo\.robots\.(\w+)\.")


@dataclass(frozen=True, kw_only=True)
class Run:
    """The configuration of a run."""

    env: Record
    """env.yaml."""
    agent: Record | None
    """agent.yaml, where it lies beside it."""
    names: tuple[str, ...]
    """The robot's joints, in the order of the ONNX metadata."""

    @property
    def robot(self) -> Record:
        """The robot's entity."""
        entities = self.env.section("scene").section("entities")
        if not entities.has(ROBOT):
            raise entities.error(
                ROBOT, f"is missing: mjlab exports the entity of that name. There are: {', '.join(entities.entries())}"
            )
        return entities.section(ROBOT)


def role(path: Path) -> str:
    """What a file is of an mjlab run: env.yaml, agent.yaml, or "" for another.

    Isaac Lab's env.yaml has no `entities` in its scene; agent.yaml holds the settings of RSL-RL's runner.
    """
    return _role(path, text_at(path))


@functools.lru_cache(maxsize=16)
def _role(path: Path, text: str) -> str:
    """Asked several times of each file, which are long."""
    data = parsed(path, text)
    scene = data.get("scene")
    if isinstance(scene, dict) and isinstance(scene.get("entities"), dict) and "decimation" in data:
        return ENV
    return AGENT if "algorithm" in data and "obs_groups" in data else ""


def is_run(files: Sequence[Path]) -> bool:
    """Whether files are env.yaml of an mjlab run, and agent.yaml perhaps."""
    yaml = all(file.suffix.lower() in (".yaml", ".yml") and file.is_file() for file in files)
    roles = [role(file) for file in files] if yaml else []
    return ENV in roles and "" not in roles


def missing_beside(given: Sequence[Path], network: Path | None = None) -> list[Path]:
    """What of env.yaml and agent.yaml is not given: near the given env.yaml, or else near the network."""
    known = {role(path): path for path in given}
    if ENV in known:
        around = {AGENT: known[ENV].parent / AGENT}
    else:
        around = {name: _near(network, name) for name in (ENV, AGENT)} if network is not None else {}
    found = {name: path for name, path in around.items() if path is not None and path.is_file() and role(path) == name}
    # Settings of a runner are of no use without the configuration that they belong to.
    complete = ENV in known or ENV in found
    return [path for name, path in found.items() if name not in known] if complete else []


def strange_beside(network: Path) -> Path | None:
    """An env.yaml near an ONNX file that is not mjlab's."""
    env = _near(network, ENV)
    return env if env is not None and role(env) != ENV else None


def networks(files: Sequence[Path]) -> list[Path]:
    """ONNX files of the run that an env.yaml lies in."""
    folder = next(file for file in files if role(file) == ENV).parent
    if folder.resolve().name == "params":
        folder = _at(folder, "../")
    return sorted(folder.glob("*.onnx"))


def _near(network: Path, name: str) -> Path | None:
    return next(filter(Path.is_file, (_at(network.parent, place.format(name)) for place in PLACES)), None)


def add_task(run: Run, draft: Draft) -> None:
    """Add what env.yaml says of the simulation, the robot's name and the commands."""
    env = run.env
    draft.put("trained_in", "mjlab, MuJoCo Warp", f"{env.path.name} is mjlab's")
    zoo = _ZOO.match(name_of(run.robot, "spec_fn"))
    if zoo is not None:
        draft.put("robot", zoo.group(1), run.robot.source("spec_fn"))
    else:
        draft.lacks("robot", "env.yaml names the robot's own function only, which is none of mjlab's asset_zoo")
    simulation = env.section("sim").section("mujoco")
    draft.put("timestep", simulation.number("timestep"), simulation.source("timestep"))
    draft.put("decimation", env.integer("decimation"), env.source("decimation"))
    commands = env.below("commands")
    for name in commands.entries() if commands is not None else ():
        if commands is not None and commands.has(name) and is_velocity(commands.section(name)):
            draft.command(commands.section(name).section("ranges"))


def add_base(run: Run, draft: Draft) -> None:
    """Add the height of a base that floats; the observation's terms must be there."""
    kinds = {term.get("term") for term in draft.data.get("observation", {}).get("terms", [])}
    state = run.robot.below("init_state")
    if kinds & BASE_TERMS and state is not None and state.has("pos"):
        draft.put("base.height", state.numbers("pos", 3)[2], state.source("pos"))
    elif not kinds & BASE_TERMS:
        draft.lacks(
            "base.floating", "whether the robot is bolted down stands in its MJCF (a freejoint), not in env.yaml"
        )


def default_positions(run: Run) -> dict[str, float] | None:
    """Default position of each joint [rad or m]; None where the robot's own keyframe has them."""
    state = run.robot.below("init_state")
    if state is None or not state.has("joint_pos"):
        return None
    return first_match(state.section("joint_pos"), run.names, 0.0)


def is_velocity(command: Record) -> bool:
    """Whether a command is a velocity of the base."""
    ranges = command.data.get("ranges")
    return isinstance(ranges, dict) and {"lin_vel_x", "lin_vel_y", "ang_vel_z"} <= set(ranges)


def name_of(record: Record, key: str) -> str:
    """Dotted name of the function at `key`; "" where it is none that can be named."""
    value = record.data.get(key)
    if isinstance(value, Foreign):
        return value.name
    return value.replace(":", ".") if isinstance(value, str) else ""


def first_match(patterns: Record, names: Sequence[str], otherwise: float) -> dict[str, float]:
    """Number of each joint: that of the first pattern that its name begins with, as mjlab resolves its states.

    Raises:
        ContractError: When a pattern is none of a joint, or its value is no number.
    """
    # `re.match` anchors the beginning only, so that "hip" is also a pattern of "hip_pitch".
    hits = {key: [name for name in names if matches(f"(?:{key}).*", name, patterns)] for key in patterns.entries()}
    return {
        name: next((patterns.number(key) for key, found in hits.items() if name in found), otherwise) for name in names
    }


def full_match(record: Record, key: str, names: Sequence[str], otherwise: Any) -> dict[str, Any]:
    """Value of each joint at `key`: one for all, or that of the pattern that is the whole of its name.

    Raises:
        ContractError: When a pattern is none of a joint, or two are of one: mjlab would not have run with it.
    """
    if not isinstance(record.get(key), dict):
        return dict.fromkeys(names, record.get(key))
    patterns = record.section(key)
    found: dict[str, Any] = {}
    for pattern in patterns.entries():
        hits = [name for name in names if matches(pattern, name, patterns)]
        if not hits:
            raise patterns.error(pattern, f"is the pattern of no joint that the action drives: {', '.join(names)}")
        if twice := [name for name in hits if name in found]:
            raise patterns.error(pattern, f"is a second pattern of joint '{twice[0]}', which mjlab refuses")
        found |= dict.fromkeys(hits, patterns.get(pattern))
    return {name: found.get(name, otherwise) for name in names}


def selected(record: Record, key: str, names: Sequence[str]) -> list[str]:
    """The joints whose names a list of patterns at `key` matches, in the order of `names`, as mjlab picks them.

    Raises:
        ContractError: When a pattern is none of a joint.
    """
    patterns = [record.text(key)] if isinstance(record.get(key), str) else record.names(key)
    hits = {pattern: [name for name in names if matches(pattern, name, record)] for pattern in patterns}
    if missing := [pattern for pattern, each in hits.items() if not each]:
        raise record.error(key, f"has '{missing[0]}', which is none of the joints: {', '.join(names)}")
    return [name for name in names if any(name in each for each in hits.values())]


def read_run(files: Sequence[Path], names: Sequence[str]) -> Run | None:
    """The configuration among the files that were given or found beside a network; None where there is none.

    Raises:
        ContractError: When a file is no env.yaml or agent.yaml of mjlab, or there are two of one.
    """
    found: dict[str, Record] = {}
    for path in files:
        kind = role(path)
        if not kind:
            raise ContractError(f"{path}: is no env.yaml or agent.yaml of mjlab; leave it out")
        if kind in found:
            raise ContractError(f"{path} and {found[kind].path} are both a {kind}; give one")
        found[kind] = Record.read(path)
    return Run(env=found[ENV], agent=found.get(AGENT), names=tuple(names)) if ENV in found else None


def _at(folder: Path, place: str) -> Path:
    """A place seen from a folder, written as it would be by hand."""
    # "." and ".." have no name, and their parent is not what `parent` says.
    above = place.startswith("../") and folder.name not in ("", "..")
    return folder.parent / place.removeprefix("../") if above else folder / place
