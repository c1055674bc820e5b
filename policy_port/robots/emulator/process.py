"""The emulated arm in a process of its own, which ends with the one that started it."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from policy_port.robots.emulator.options import ArmOptions

END_TIME = 10.0
"""How long the process may take to end [s]."""
MAIN = "policy_port.robots.emulator.process_main"
"""The module that runs there."""


class EngineProcess:
    """An `Engine` at the other end of two pipes."""

    def __init__(self, options: ArmOptions) -> None:
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()

    def start(self) -> None:
        """Start the process and wait until the port is there."""
        # A session of its own: Ctrl-C is for the client, whose end the arm is there to observe. Without the working
        # folder, whose signal.py or policy_port/ would be run instead; the package is where this one is.
        root = str(Path(__file__).resolve().parents[3])
        code = f"import runpy, sys; sys.path.append({root!r}); runpy.run_module({MAIN!r}, run_name='__main__')"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        try:
            self._exchange(self._options)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process. Twice is harmless.

        Raises:
            RuntimeError: When the emulation had failed.
        """
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        try:
            code = process.wait(END_TIME)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code:
            raise RuntimeError(f"the process of the emulated arm has ended with status {code}")

    def ask(self, call: str, *arguments: Any) -> Any:
        """See `Engine.ask`."""
        return self._exchange((call, arguments))

    def _exchange(self, question: Any) -> Any:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("the process of the emulated arm has ended")
        try:
            with self._turn:
                pickle.dump(question, process.stdin)
                process.stdin.flush()
                good, answer = pickle.load(process.stdout)
        except (OSError, EOFError):
            raise RuntimeError("the process of the emulated arm has ended unasked") from None
        if not good:
            raise answer
        return answer
