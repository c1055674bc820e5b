"""A regression suite: the YAML that lists cases and what is expected of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from policy_port.contract.joints import Positive
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.errors import SuiteError
from policy_port.files import sha256
from policy_port.regress.play import Count, ListFile, Play

SUFFIX = ".regress.yaml"
"""How a suite's file name ends; what stands before it names its folder of baselines."""

Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class OpenLoop(Strict):
    """The same stored states must give the same observations, actions and targets."""

    steps: Count = 50
    """Control steps to store."""
    tolerance: Positive = 1e-4
    """Largest difference, as a share of the element's largest stored value or of 1, whichever is larger."""


class Golden(Strict):
    """The same episodes must take the same course, as far as the simulator repeats itself."""

    episodes: Count = 1
    """Episodes to store, the first ones."""
    tolerance: Positive = 1e-3
    """Largest difference of a joint position [rad or m] or a base position [m]."""
    every: Count = 4
    """Store each how-manieth control step."""


class Score(Strict):
    """What an episode counts, from 0 to 1."""

    measure: Literal["success", "error"] = "success"
    """success: share of episodes that succeed. error: mean error, see `cap`."""
    cap: Positive | None = None
    """With `error`: an error counts as no worse than this [m at the end of a reach, m/s of a command]."""

    @model_validator(mode="after")
    def _cap_goes_with_error(self) -> Score:
        if (self.measure == "error") != (self.cap is not None):
            raise ValueError("`cap` goes with `measure: error`, which needs it: the largest error that still matters")
        return self


class Statistical(Score):
    """The outcome must not be worse than the stored one; the same seeds are compared."""

    margin: Share = 0.1
    """A drop that must not pass: of the success rate, or of the mean error as a share of `cap`."""


class Expect(Strict):
    """What is expected of a case; at least one."""

    open_loop: OpenLoop | None = None
    golden: Golden | None = None
    statistical: Statistical | None = None

    @model_validator(mode="after")
    def _something(self) -> Expect:
        if self.open_loop is None and self.golden is None and self.statistical is None:
            raise ValueError("expects nothing; give open_loop, golden or statistical, each may be {}")
        return self


class Case(Play):
    """One replay and what is expected of it."""

    expect: Expect

    @model_validator(mode="after")
    def _enough_episodes(self) -> Case:
        wanted = self.expect.golden.episodes if self.expect.golden is not None else 1
        if wanted > self.episodes:
            raise ValueError(f"case '{self.name}': golden wants {wanted} episodes, the case has {self.episodes}")
        return self

    @property
    def judged(self) -> bool:
        """Whether episodes are to be told apart as successes and failures."""
        return self.expect.statistical is not None

    @property
    def protocol(self) -> dict[str, Any]:
        """What a baseline depends on beside the policy and the robot: it must not change under a baseline."""
        expect = self.expect
        # Only where they are given, so that baselines of cases without them stay valid.
        held = {
            "schedule": self.schedule,
            "seconds": self.seconds,
            "goals": self.goals and self.model_dump(mode="json")["goals"],
        }
        return {
            **{key: value for key, value in held.items() if value},
            "plant": self.plant and self.plant.model_dump(mode="json"),
            "env": self.env and self.env.model_dump(mode="json"),
            "task": self.task,
            "commands": [step.model_dump(mode="json") for step in self.commands],
            "start_noise": self.start_noise,
            "seed": self.seed,
            "episodes": self.episodes,
            "open_loop.steps": expect.open_loop and expect.open_loop.steps,
            "golden.episodes": expect.golden and expect.golden.episodes,
            "golden.every": expect.golden and expect.golden.every,
            "golden.tolerance": expect.golden and expect.golden.tolerance,
            "statistical": expect.statistical is not None,
        }


class SuiteFile(Strict):
    """The YAML itself."""

    suite_version: Literal[1]
    confidence: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.95
    """Of the whole suite: the chance that any statistical expectation alarms without a regression is at most one
    minus this, and so is each one's chance to pass a drop of its margin."""
    cases: tuple[Case, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> SuiteFile:
        names = [case.name for case in self.cases]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"two cases are called {', '.join(repeated)}; baselines are kept by name")
        return self


class Suite(ListFile):
    """A suite and where it lies."""

    def __init__(self, path: Path, file: SuiteFile) -> None:
        super().__init__(path)
        self.file = file

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases in the file's order."""
        return self.file.cases

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return _name(self.path)

    @property
    def baselines(self) -> Path:
        """Folder of the baselines."""
        return baselines_of(self.path)

    def baseline_files(self, case: str) -> tuple[Path, Path]:
        """What is stored of a case: the document and the arrays."""
        return self.baselines / f"{case}.json", self.baselines / f"{case}.npz"

    @property
    def alarm_rate(self) -> float:
        """Chance of a false alarm that each statistical expectation may use up: an equal share of the suite's."""
        count = sum(case.expect.statistical is not None for case in self.cases)
        return (1.0 - self.file.confidence) / max(1, count)

    @property
    def miss_rate(self) -> float:
        """Chance of each statistical expectation to pass a drop of its margin."""
        return 1.0 - self.file.confidence

    def case(self, name: str) -> Case:
        """The case of that name."""
        return next(case for case in self.cases if case.name == name)

    def protocol(self, case: Case) -> dict[str, Any]:
        """What the baseline of a case depends on: its keys, and what stands in its schedule file."""
        if case.schedule is None:
            return case.protocol
        return {**case.protocol, "schedule's content": sha256(self.resolve(case.schedule))[:12]}


def baselines_of(path: Path) -> Path:
    """Folder of the baselines of a suite's file."""
    return path.parent / f"{_name(path)}.baselines"


def _name(path: Path) -> str:
    return path.name.removesuffix(SUFFIX).removesuffix(".yaml").removesuffix(".yml")


def load_suite(path: Path | str) -> Suite:
    """Read a suite.

    Raises:
        SuiteError: With file, line and key, when it is missing or malformed, or names a file that is not there.
    """
    document = read_yaml(path, SuiteError)
    suite = Suite(Path(path).resolve(), parse(SuiteFile, document, SuiteError))
    missing = []
    for number, case in enumerate(suite.cases):
        if any(not suite.resolve(need).exists() for need in case.needs):
            continue
        for key in ("port", "checkpoint", "contract", "schedule"):
            text = getattr(case, key)
            if text is not None and not suite.resolve(text).exists():
                line = document.line(("cases", number, key))
                missing.append(f"{path}:{line}: case '{case.name}': {key} {text}: is not there")
    if missing:
        raise SuiteError("\n".join(missing) + "\nA case that some machines can't run lists such paths under `needs`")
    return suite
