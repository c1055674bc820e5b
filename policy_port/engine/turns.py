"""The stages of the turns, as a pipeline: what each reads of those before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from policy_port.engine.document import Engine
from policy_port.errors import TrainError, closest
from policy_port.files import write_atomic
from policy_port.pipeline.document import Command, Pipeline, Stage

OWN = ".engine"
"""Folder of what the engine itself writes for its stages: the arm's contract, each turn's plan."""
CONTROL = "control-"
"""Begins the names of a turn's stages that know nothing of the identified dynamics."""


STOPS = 3
"""Stops of the arm in a row that end a stage."""


def write_own(engine: Engine, turns: int) -> None:
    """Write what stages read and no stage makes; the same bytes each time.

    Raises:
        OutputError: When it can't be written.
    """
    folder = engine.out / OWN
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "contract.yaml", engine.contract.to_yaml())
    for turn in range(1, turns + 1):
        plan = engine.plan.model_dump(mode="json", exclude_none=True)
        # Each turn looks at other poses: what was held out before would else be performed again, and fitted.
        plan["seed"] = engine.plan.seed + 1000 * (turn - 1)
        for segment in plan["segments"]:
            if "like" in segment:
                segment["like"] = str((engine.plan_file.parent / segment["like"]).resolve())
        write_atomic(folder / f"plan{turn}.yaml", yaml.safe_dump(plan, sort_keys=False, width=120))


def pipeline_of(engine: Engine, turns: int, commands: Mapping[str, Command], until: str | None = None) -> Pipeline:
    """The stages of turn 0, which is the policy as it comes, and of the turns after it.

    Args:
        engine: The engine.
        turns: How many.
        commands: What stages run, by name.
        until: The last stage; all, if None.

    Raises:
        TrainError: When `until` is no stage.
    """
    made = [stage for turn in range(turns + 1) for stage in _stages(engine, turn, commands)]
    names = [stage.name for stage in made]
    if until is not None and until in names:
        made = made[: names.index(until) + 1]
    return Pipeline(
        file=engine.file,
        name=engine.document.name,
        out=engine.out,
        scale={},
        stages=tuple(made),
        families={stage.name: (stage.name,) for stage in made},
    )


def check_until(engine: Engine, commands: Mapping[str, Command], until: str) -> int:
    """The turn that a stage is of.

    Raises:
        TrainError: When there is no such stage.
    """
    names = [stage.name for stage in pipeline_of(engine, engine.document.turns, commands).stages]
    if until not in names:
        raise TrainError(f"--until {until}: no such stage{closest(until, names) or '.'} There are: {', '.join(names)}")
    return int(until.removeprefix("turn").partition("-")[0])


def _stages(engine: Engine, turn: int, commands: Mapping[str, Command]) -> Iterator[Stage]:
    def stage(name: str, kind: str, **options: Any) -> Stage:
        stated = {key: value for key, value in options.items() if value is not None}
        full = f"turn{turn}-{name}"
        return Stage(name=full, family=full, kind=kind, command=commands[kind], options=stated)

    doc = engine.document
    if turn == 0:
        contract = str(engine.out / OWN / "contract.yaml")
        yield stage("port", "export", policy=str(engine.policy), contract=contract)
        yield stage("simulate", "simulate", ports=["@turn0-port"], **_simulated(engine))
        yield stage("play", "play", ports=["@turn0-port"], **_played(engine))
        return
    yield stage("collect", "collect", plan=str(engine.out / OWN / f"plan{turn}.yaml"), **_collected(engine, turn))
    earlier = range(turn)
    yield stage(
        "identify",
        "identify",
        collected=[f"@turn{one}-collect" for one in range(1, turn + 1)],
        runs=[f"@turn{one}-play" for one in earlier] if doc.identify.runs else [],
        **_identified(engine),
    )
    dynamics = f"@turn{turn}-identify:dynamics"
    for prefix, known in (("", dynamics), (CONTROL, None)) if doc.control else (("", dynamics),):
        yield stage(f"{prefix}finetune", "finetune", **_tuned(engine, turn, prefix), dynamics=known)
        yield stage(f"{prefix}port", "export", policy=f"@turn{turn}-{prefix}finetune")
    ports = {str(one): f"@turn{one}-port" for one in range(turn + 1)}
    if doc.control:
        ports["control"] = f"@turn{turn}-{CONTROL}port"
    for name, port in ports.items():
        yield stage(f"simulate-{name}", "simulate", ports=[port], dynamics=dynamics, **_simulated(engine))
    yield stage("play", "play", ports=[f"@turn{turn}-port"], **_played(engine))
    if doc.control:
        yield stage(f"{CONTROL}play", "play", ports=[f"@turn{turn}-{CONTROL}port"], **_played(engine))


def _task(engine: Engine) -> str:
    beside = engine.beside(engine.document.task)
    return str(beside) if beside.is_file() else engine.document.task


def _simulated(engine: Engine) -> dict[str, Any]:
    play = engine.document.play
    common = {"plant": "mujoco", "robot": str(engine.robot), "task": "so100-reach"}
    common["supervisor"] = str(engine.arm_file)
    return {**common, "episodes": play.episodes, "seed": play.seed, "num_envs": min(play.episodes, 64)}


def _played(engine: Engine) -> dict[str, Any]:
    play = engine.document.play
    own = {"task": "so100-reach", "episodes": play.episodes, "seed": play.seed, "continuous": play.continuous}
    own["stops"] = STOPS
    return {"real": True, "robot": str(engine.arm_file), **own, **_emulated(engine)}


def _collected(engine: Engine, turn: int) -> dict[str, Any]:
    own = {"robot": str(engine.arm_file), "continuous": engine.document.collect.continuous, "stops": STOPS}
    emulated = engine.document.emulated
    if emulated is None:
        return {**own, "real": True}
    return {**own, **_emulated(engine), "seed": emulated.seed + turn}


def _emulated(engine: Engine) -> dict[str, Any]:
    emulated = engine.document.emulated
    if emulated is None:
        return {}
    dynamics = None if emulated.dynamics is None else str(engine.beside(emulated.dynamics))
    return {"emulated": True, "fast": emulated.fast, "dynamics": dynamics}


def _identified(engine: Engine) -> dict[str, Any]:
    identify = engine.document.identify
    priors = engine.beside(identify.priors)
    return {
        "data": [str(engine.beside(name)) for name in identify.data],
        "held_out": [str(engine.beside(name)) for name in identify.held_out],
        "robot": str(engine.robot),
        "contract": str(engine.out / OWN / "contract.yaml"),
        "payload": identify.payload,
        "priors": str(priors) if priors.is_file() else identify.priors,
        "segments": identify.segments,
        "horizon": identify.horizon,
        "accept": list(identify.accept),
    }


def _tuned(engine: Engine, turn: int, prefix: str) -> dict[str, Any]:
    tuning = engine.document.finetune
    first = {"student": str(engine.policy), "contract": str(engine.out / OWN / "contract.yaml")}
    later = {"student": f"@turn{turn - 1}-{prefix}finetune"}
    return {
        **(first if turn == 1 else later),
        "plant": "mujoco",
        "robot": str(engine.robot),
        "task": _task(engine),
        "supervisor": str(engine.arm_file),
        "num_envs": tuning.num_envs,
        "seed": tuning.seed + turn - 1,
        "iterations": tuning.iterations,
        "agent": None if tuning.agent is None else str(engine.beside(tuning.agent)),
    }


def folder_of(out: Path, turn: int, name: str) -> Path:
    """Where a stage's files are."""
    return out / f"turn{turn}-{name}"
