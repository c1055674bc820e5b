"""Turning the crank: stage by stage, until nothing is won any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from policy_port.engine.decide import Verdict, best, judge
from policy_port.engine.document import Engine
from policy_port.engine.evidence import Turn, check_one_arm, read_turn
from policy_port.engine.report import document_of, engine_report, text
from policy_port.engine.turns import check_until, pipeline_of, write_own
from policy_port.files import write_atomic
from policy_port.pipeline.document import Command
from policy_port.pipeline.stages import Part, Running, State, refuse_foreign
from policy_port.report import write_report

MOVES = ("collect", "play")
"""Stages that move the arm."""
FIGURES = "engine.json"


@dataclass(frozen=True, kw_only=True)
class Turned:
    """What became of it."""

    turns: tuple[Turn, ...]
    """Those that are whole."""
    verdicts: tuple[Verdict, ...]
    said: str
    """Why it ended, and what the result is."""

    def text(self) -> str:
        """The table, the plot in letters and the verdicts."""
        parts = [text(self.turns)] if self.turns else []
        return "\n".join([*parts, "", *(verdict.text() for verdict in self.verdicts), self.said]).strip()


def turn_crank(
    engine: Engine,
    commands: Mapping[str, Command],
    parts: Mapping[str, Part],
    say: Callable[[str], object],
    until: str | None = None,
) -> Turned:
    """Run every stage that is due, turn by turn.

    Args:
        engine: The engine.
        commands: What stages run, by name.
        parts: What `@STAGE:PART` may name.
        say: Tells a person.
        until: The last stage; all, if None.

    Raises:
        PolicyPortError: What a stage refuses, or evidence that does not go together; what was done stays.
    """
    document = engine.document
    last = document.turns if until is None else check_until(engine, commands, until)
    refuse_foreign(engine.out, [stage.name for stage in pipeline_of(engine, last, commands, until).stages])
    write_own(engine, document.turns)
    turns: list[Turn] = []
    verdicts: list[Verdict] = []
    say_once = _Once(say)
    done: Turned | None = None
    for turn in range(last + 1):
        pipeline = pipeline_of(engine, turn, commands, until)
        states = Running(pipeline=pipeline, parts=parts, say=say_once, edited="refuse").run()
        if until is not None and turn == last and until != f"turn{turn}-{_closing(engine, turn)}":
            return _ended(engine, turns, verdicts, f"ended after {until}, as it was told to", states)
        check_one_arm([engine.out / name for name in states if _moves(name)])
        turns.append(read_turn(engine.out, turn, control=document.control and turn > 0))
        verdict = judge(turns, document.level)
        verdicts += [] if verdict is None else [verdict]
        over = turn == last or (verdict is not None and not verdict.better)
        if over or say_once.news:
            said = _said(turns, verdicts, over=turn == document.turns)
            done = _ended(engine, turns, verdicts, said, states)
        if over:
            break
    assert done is not None
    return done


class _Once:
    """Tells a person of each stage once: each turn goes through the stages of those before it again."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say, self._told = say, set[str]()
        self.news = False
        """Whether any stage ran."""

    def __call__(self, line: str) -> None:
        """Tell it."""
        name = line.partition(":")[0].rpartition(" ")[2]
        before = "done before" in line
        self.news |= not before
        if not (before and name in self._told):
            self._say(line)
        self._told.add(name)


def plan_of(
    engine: Engine, commands: Mapping[str, Command], parts: Mapping[str, Part], until: str | None = None
) -> dict[str, str]:
    """What would be done with each stage of all turns."""
    if until is not None:
        check_until(engine, commands, until)
    pipeline = pipeline_of(engine, engine.document.turns, commands, until)
    due: Mapping[str, str] = dict.fromkeys((stage.name for stage in pipeline.stages), "run")
    if engine.out.exists():
        write_own(engine, engine.document.turns)
        due = Running(pipeline=pipeline, parts=parts, edited="refuse").plan()
    arm = "the emulated arm" if engine.document.emulated is not None else "THE ARM"
    moving = {stage.name for stage in pipeline.stages if stage.kind in MOVES}
    return {
        name: f"{state}{f', and moves {arm}' if name in moving and state != 'done' else ''}"
        for name, state in due.items()
    }


def _moves(name: str) -> bool:
    return name.partition("-")[2].removeprefix("control-") in MOVES


def _closing(engine: Engine, turn: int) -> str:
    """The last stage of a turn."""
    return "control-play" if engine.document.control and turn > 0 else "play"


def _said(turns: list[Turn], verdicts: list[Verdict], *, over: bool) -> str:
    """How it stands after a turn."""
    if not verdicts:
        return "turn 0 is the policy as it comes"
    result = f"the result is the policy of turn {best(verdicts)}"
    if not verdicts[-1].better:
        return f"stopped by itself: turn {verdicts[-1].turn} brought nothing significant; {result}"
    return f"{'all turns are done' if over else f'turn {turns[-1].number} is done'}; {result}"


def _ended(
    engine: Engine, turns: list[Turn], verdicts: list[Verdict], said: str, states: Mapping[str, State]
) -> Turned:
    """Write the page and the figures as they stand."""
    write_atomic(engine.out / FIGURES, document_of(turns, verdicts, said))
    write_report(engine.out / "report.html", engine_report(engine, turns, verdicts, said, states))
    return Turned(turns=tuple(turns), verdicts=tuple(verdicts), said=said)
