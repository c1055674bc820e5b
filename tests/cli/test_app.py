"""How every command ends: misuse, interrupt, closed pipe, bug."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from typer.testing import CliRunner, Result

import policy_port
from policy_port import system
from policy_port.cli.app import COMMANDS, GROUPS, app, command_named
from policy_port.errors import ContractError, ProofError


def run_doctor(monkeypatch: pytest.MonkeyPatch, stop: BaseException) -> Result:
    def examine() -> None:
        raise stop

    monkeypatch.setattr(system, "examine", examine)
    return CliRunner().invoke(app, ["doctor"])


@pytest.mark.parametrize(("error", "status"), [(ContractError("go1.yaml: x"), 2), (ProofError("go1.yaml: x"), 1)])
def test_a_misuse_is_one_message_and_its_exit_status(
    monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    """The message goes to stderr, without a traceback, and the status is the error's own."""
    result = run_doctor(monkeypatch, error)
    assert (result.stderr, result.stdout, result.exit_code) == ("error: go1.yaml: x\n", "", status)


def test_an_interrupt_says_that_nothing_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with the shell's usual status."""
    result = run_doctor(monkeypatch, KeyboardInterrupt())
    assert (result.stderr, result.exit_code) == ("interrupted; nothing was written\n", 130)


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no user can mend is not made to look as if they could."""
    assert isinstance(run_doctor(monkeypatch, ZeroDivisionError()).exception, ZeroDivisionError)


def test_a_bug_prints_a_plain_traceback() -> None:
    """The real program shows Python's own traceback and exits with 1."""
    code = """
        import sys
        from policy_port import system
        from policy_port.cli.app import main
        system.examine = lambda: 1 / 0
        sys.argv = ["policy-port", "doctor"]
        main()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_closed_pipe_is_quiet() -> None:
    """`policy-port ... | head -0` prints no complaint."""
    code = """
        import sys
        from policy_port import system
        from policy_port.cli.app import main
        system.examine = lambda: tuple(
            system.Finding(name=str(i), ok=True, detail="x" * 100) for i in range(10_000)
        )
        sys.argv = ["policy-port", "doctor"]
        main()
    """
    done = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -c \"$0\" | true", textwrap.dedent(code)],
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""


def test_the_version_is_the_package_s() -> None:
    """`--version` prints the number that the package states."""
    assert CliRunner().invoke(app, ["--version"]).stdout == f"policy-port {policy_port.__version__}\n"


@pytest.mark.parametrize("name", [*COMMANDS, *GROUPS])
def test_a_command_is_listed_by_its_first_line(name: str) -> None:
    """What the list says of a command, without importing it, is how its own help begins."""
    (_, summary), command = {**COMMANDS, **GROUPS}[name], command_named(name)
    assert command.name == name
    assert " ".join(command.help.partition("\n\n")[0].split()) == summary


def test_a_shell_completes_commands_and_what_follows_them() -> None:
    """A command by its first letters, and an option of a command that had to be imported."""

    def completed(words: str, number: int) -> list[str]:
        asked = {"_POLICY_PORT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(number)}
        return CliRunner().invoke(app, [], prog_name="policy-port", env=asked).output.split()

    assert completed("policy-port di", 1) == ["diagnose", "distil"]
    assert completed("policy-port map ", 2) == ["derive", "show", "check"]
    assert "--view" in completed("policy-port play --v", 2)


def test_an_unknown_command_exits_with_2() -> None:
    """A misspelt command is named."""
    result = CliRunner().invoke(app, ["docter"])
    assert result.exit_code == 2
    assert "docter" in result.output


def test_exported_names_exist_and_are_loaded_on_use() -> None:
    """Every exported name is found in the module that its table names, and unknown ones are AttributeErrors."""
    for name in policy_port.__all__:
        assert getattr(policy_port, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Polcy'"):
        policy_port.Polcy  # noqa: B018
    assert set(policy_port.__all__) <= set(dir(policy_port))
