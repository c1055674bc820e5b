"""What runs in the emulated arm's own process: it answers questions from the process that started it."""

from __future__ import annotations

import os
import pickle
import sys
from typing import Any, BinaryIO

from policy_port.robots.emulator.engine import Engine
from policy_port.robots.emulator.options import ArmOptions

SWITCH = 0.0005
"""How long a camera's thread may keep the interpreter while the servos are to answer [s]; Python lets it for 5 ms."""


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Be the arm that the first question describes, until there are no more questions."""

    def answer(good: bool, value: Any) -> None:
        pickle.dump((good, value), answers)
        answers.flush()

    options: ArmOptions = pickle.load(questions)
    try:
        engine = Engine(options)
        engine.start()
    except Exception as error:
        answer(False, error)
        return
    try:
        answer(True, None)
        while True:
            try:
                call, arguments = pickle.load(questions)
            except EOFError:
                return
            try:
                value = engine.ask(call, *arguments)
            except Exception as error:
                answer(False, error)
            else:
                answer(True, value)
    finally:
        engine.close()


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH)
    # Whatever a library prints must not come between the answers.
    own_answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        serve(sys.stdin.buffer, own_answers)
    except BrokenPipeError:
        # The one who asked has gone; the arm has been unplugged, and nobody is left to be told.
        os._exit(0)
