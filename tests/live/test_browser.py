"""The live view as a browser sees it: a client at the wire tells, pushes, pauses, steps, resets and ends it."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.port.folder import load_port
from policy_port.replay.held import Held
from policy_port.replay.schedule import Schedule
from policy_port.replay.scheduled import Scheduled
from policy_port.trace import Trace
from tests.taking_turns import write_ports

viser = pytest.importorskip("viser", reason="the extra `view` is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ports, robot and schedule."""
    return write_ports(tmp_path_factory.mktemp("ports"))


class Client:
    """A browser's end of the line."""

    def __init__(self, port: int) -> None:
        from websockets.sync.client import connect

        self._line = connect(f"ws://127.0.0.1:{port}", subprotocols=[f"viser-v{viser.__version__}"], max_size=None)  # type: ignore[list-item]
        # A browser is one of the clients once it has told its camera.
        self.send("ViewerCameraMessage", wxyz=(1, 0, 0, 0), position=(1, 1, 1), image_height=9, image_width=9,
                  fov=1.0, near=0.1, far=9.0, look_at=(0, 0, 0), up_direction=(0, 0, 1))  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, kind: str, **more: Any) -> None:
        import msgspec

        self._line.send(msgspec.msgpack.encode({"type": kind, **more}))

    def set(self, handle: Any, value: Any) -> None:
        self.send("GuiUpdateMessage", uuid=handle._impl.uuid, updates={"value": value})

    def _read(self) -> None:
        for _ in self._line:
            pass

    def close(self) -> None:
        self._line.close()
        self._reader.join(5.0)


def until(true: Callable[[], bool]) -> None:
    """Wait for what the client asked for to arrive."""
    end = time.monotonic() + 10.0
    while not true():
        assert time.monotonic() < end, "it did not arrive"
        time.sleep(0.005)


class Person:
    """An observer that does something in chosen steps, and waits until it has arrived."""

    def __init__(
        self, actions: dict[int, Callable[[Any, Client], Callable[[Any], bool] | None]], speed: float = 20.0
    ) -> None:
        self.actions, self.steps, self.speed = actions, 0, speed
        self.view: Any = None
        self.wishes: Any = None
        self.client: Client | None = None

    def open(self, twin: Any, wishes: Any) -> Any:
        from policy_port.live.browser import BrowserView

        self.wishes, self.view = wishes, BrowserView(twin, wishes, host="127.0.0.1", port=0)
        wishes.speed = self.speed
        self.client = Client(self.view.port)
        until(lambda: len(self.view._server.get_clients()) == 1)
        return self.view

    def __call__(self, plant: Any, controller: Any, target: Any, started: Any) -> None:
        assert self.client is not None
        if act := self.actions.get(self.steps):
            arrived = act(self.view, self.client)
            if arrived is not None:
                until(lambda: arrived(self.wishes))
        self.steps += 1


def watch(
    folder: Path, person: Person, *names: str, seconds: float = np.inf, schedule: Any = None
) -> tuple[Any, Trace]:
    from policy_port.live.watched import Watched

    pilots = {name: load_port(folder / name).pilot(None) for name in names}
    pilot = next(iter(pilots.values()))
    asked = Scheduled(held=Held(seconds=seconds), schedule=schedule or Schedule(), ports=pilots, told_live=True)
    setup = PlantSetup.from_contract(pilot.contract)
    watched = Watched(
        asked=asked, robot=folder / "toy.xml", setup=setup, meshes=True, open_view=person.open, say=lambda text: None
    )
    watched.check()
    plant = make_plant("mujoco", folder / "toy.xml", setup)
    result = watched.perform(pilot, plant, trace=folder / "watched.npz", observers=(person,))
    assert person.client is not None
    person.client.close()
    return result, Trace(folder / "watched.npz")


def trigger(words: str) -> Callable[[Any, Client], None]:
    """Press the key of a command."""

    def act(view: Any, client: Client) -> None:
        commands = view._server.gui._command_handle_from_uuid
        client.send("CommandTriggerMessage", uuid=next(u for u, c in commands.items() if c.label == words))

    return act


def test_a_person_commands_pushes_pauses_and_resets(folder: Path) -> None:
    """A slider tells the robot what to do, within its range; the push comes at the link and in the direction that were
    chosen; while time stands still only steps pass; a reset begins an episode; Ctrl-C ends it and all is written.
    """

    def slide(view: Any, client: Client) -> Any:
        client.set(view.sliders["lin_vel_x"], 0.25)
        return lambda wishes: wishes.told()["lin_vel_x"] == 0.25

    def key(view: Any, client: Client) -> Any:
        trigger("lin_vel_x down")(view, client)
        return lambda wishes: abs(wishes.told()["lin_vel_x"] - 0.19) < 1e-9

    def shove(view: Any, client: Client) -> Any:
        client.set(view._link, "arm1")
        client.set(view.impulse, (3.0, 0.0, 0.0))
        until(lambda: view._link.value == "arm1" and view.impulse.value == (3.0, 0.0, 0.0))
        client.set(view.buttons["push"], True)
        return lambda wishes: bool(wishes._pushes)

    def pause(view: Any, client: Client) -> Any:
        client.set(view.buttons["pause"], True)
        until(lambda: person.wishes.paused)
        for _ in range(3):
            client.set(view.buttons["step"], True)
        return lambda wishes: wishes._steps == 3

    def go_on(view: Any, client: Client) -> Any:
        trigger("pause")(view, client)
        return lambda wishes: not wishes.paused

    def restart(view: Any, client: Client) -> Any:
        trigger("reset")(view, client)
        return lambda wishes: wishes._resets == 1

    def interrupt(view: Any, client: Client) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return lambda wishes: wishes.over

    person = Person({5: slide, 8: key, 10: shove, 20: pause, 23: go_on, 30: restart, 35: interrupt})
    before = signal.getsignal(signal.SIGINT)
    result, trace = watch(folder, person, "quick")
    assert signal.getsignal(signal.SIGINT) is before
    assert len(trace["time"]) == 36
    assert np.allclose(trace["command"][[5, 6, 8, 9, 35], 0, 0], [0.0, 0.25, 0.25, 0.19, 0.19])
    pushed = np.flatnonzero(trace["push_link"][:, 0] >= 0)
    assert pushed.tolist() == [11, 12, 13, 14, 15]
    assert trace.header["push_links"][trace["push_link"][11, 0]] == "arm1"
    assert np.allclose(np.linalg.norm(trace["push"][pushed, 0].sum(axis=0)) * 0.02, 3.0)
    assert trace["episode"][:, 0].tolist() == [0] * 31 + [1] * 5
    assert result.setting["seconds"] == "0.72"
    json.loads(result.json())
    with pytest.raises(ConnectionError):
        Client(person.view.port)


def test_ports_are_handed_over_by_a_button_and_a_schedule_moves_the_sliders(folder: Path) -> None:
    """Until a person touches a slider the schedule tells the command; the button lets the other port play."""
    told = [{"at": 0, "to": {"lin_vel_x": 0.1}}, {"at": 0.1, "to": {"lin_vel_x": 0.2}}]
    schedule = Schedule.model_validate({"command": told})

    def take_over(view: Any, client: Client) -> Any:
        assert view.sliders["lin_vel_x"].value == pytest.approx(0.2)
        client.set(view.sliders["ang_vel_z"], 0.5)
        client.set(view.buttons["play stiff"], True)
        return lambda wishes: wishes.touched and bool(wishes._handovers)

    person = Person({12: take_over}, speed=1.0)
    _, trace = watch(folder, person, "quick", "stiff", seconds=0.6, schedule=schedule)
    assert len(trace["time"]) == 30
    assert np.allclose(trace["command"][[0, 4, 5, 12, 29], 0, 0], [0.1, 0.1, 0.2, 0.2, 0.2])
    assert np.allclose(trace["command"][[12, 29], 0, 2], [0.0, 0.5])
    assert trace["port"][:, 0].tolist() == [0] * 13 + [1] * 17


def test_a_taken_port_is_refused(folder: Path) -> None:
    """viser would take the next one, to which nobody forwards."""
    import socket

    from policy_port.errors import OutputError
    from policy_port.live.browser import BrowserView

    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OutputError, match="another --view-port, 0 for any that is free"),
    ):
        BrowserView(None, None, host="127.0.0.1", port=taken.getsockname()[1])  # type: ignore[arg-type]


def test_who_else_can_reach_the_page_is_told() -> None:
    """On this machine alone, with the port to forward; elsewhere, that it has no password."""
    from policy_port.live.browser import address_of

    assert "ssh -L 8080:127.0.0.1:8080 " in address_of("127.0.0.1", 8080)
    assert "http://[::1]:9 " in address_of("::1", 9)
    assert "has no password" in address_of("0.0.0.0", 8080)
