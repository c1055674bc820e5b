"""Whoever wants to speak on the line, no sentence is broken into."""

from __future__ import annotations

import threading
import time

from policy_port.robots.arm.turn import PATIENCE, Turn


def test_a_signal_in_the_middle_of_another_threads_sentence_waits_for_its_end() -> None:
    """What the thread that attends to the arm is saying is heard whole; then comes the cut."""
    turn, said, speaking = Turn(), list[str](), threading.Event()

    def attend() -> None:
        with turn:
            said.append("instruction")
            speaking.set()
            time.sleep(0.05)
            said.append("answer")

    thread = threading.Thread(target=attend)
    thread.start()
    speaking.wait()
    turn.interject(lambda: said.append("cut"))
    thread.join()
    assert said == ["instruction", "answer", "cut"]


def test_a_signal_in_the_middle_of_its_own_threads_sentence_is_served_at_its_end() -> None:
    """The handler runs within the sentence and can't wait for it: the sentence's end speaks for it."""
    turn, said = Turn(), list[str]()
    with turn:
        with turn:
            said.append("instruction")
            turn.interject(lambda: said.append("cut"))
        said.append("answer")
    assert said == ["instruction", "answer", "cut"]
    turn.interject(lambda: said.append("again"))
    assert said[-1] == "again"


def test_a_line_that_hangs_does_not_keep_torque_on() -> None:
    """After a moment it is said all the same."""
    turn, hung, over = Turn(), threading.Event(), threading.Event()

    def hang() -> None:
        with turn:
            hung.set()
            over.wait()

    thread = threading.Thread(target=hang)
    thread.start()
    hung.wait()
    begin, said = time.monotonic(), list[str]()
    turn.interject(lambda: said.append("cut"))
    over.set()
    thread.join()
    assert said == ["cut"]
    assert time.monotonic() - begin >= 0.9 * PATIENCE
