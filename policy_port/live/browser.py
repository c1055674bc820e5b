"""The live view in a browser, by viser: sliders, buttons and keys."""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import Any

import viser

from policy_port.arrays import Array
from policy_port.errors import OutputError
from policy_port.live.view import Frame
from policy_port.live.wishes import Wishes
from policy_port.plants.mujoco_twin import Twin

GHOST = (110, 170, 250)
KEYS = {
    "arrowup": ("lin_vel_x", 1),
    "arrowdown": ("lin_vel_x", -1),
    "arrowleft": ("ang_vel_z", 1),
    "arrowright": ("ang_vel_z", -1),
    "Q": ("lin_vel_y", 1),
    "E": ("lin_vel_y", -1),
}
"""Which element each key moves by a tenth of its range."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Addresses that this machine alone reaches."""
LEGEND = (
    "Keys: arrows walk and turn, Q and E step aside, X halts, space pauses, N does one step, R resets, P pushes. "
    "Mouse: turn, shift and zoom the camera."
)


class BrowserView:
    """A page that any number of browsers may open; each has a camera of its own."""

    def __init__(self, twin: Twin, wishes: Wishes, *, host: str, port: int) -> None:
        """Serve the page.

        Args:
            twin: What is to be seen.
            wishes: Where to write what a person wants.
            host: Address to listen at.
            port: TCP port; 0 for any that is free.

        Raises:
            OutputError: When it can't listen there.
        """
        self._wishes = wishes
        # What viser prints of itself is not the command's output.
        with contextlib.redirect_stdout(sys.stderr):
            self._server: Any = viser.ViserServer(host=host, port=_free(host, port), label="policy-port", verbose=False)
        # Its button for a public address would let anybody drive the robot.
        self._server.gui.configure_theme(show_share_button=False)
        self._server.request_share_url = lambda *_, **__: None
        port = self._server.get_port()
        self.port = port
        """The TCP port."""
        self.address = address_of(host, port)
        """Where to look, in words."""
        self._build_scene(twin)
        self._build_panel()
        self._build_keys()

    def show(self, frame: Frame) -> None:
        """Show one moment."""
        with self._server.atomic():
            follows = self._follow.value
            self._world.position = (-frame.place[0, 0], -frame.place[0, 1], 0.0) if follows else (0.0, 0.0, 0.0)
            _place(self._robot, frame.place, frame.turn)
            for link in self._ghost:
                link.visible = frame.ghost is not None and self._show_ghost.value
            if frame.ghost is not None:
                _place(self._ghost, *frame.ghost)
        if self._text.content != frame.text:
            self._text.content = frame.text
        if not self._wishes.touched:
            # A schedule moves the sliders.
            for name, value in self._wishes.told().items():
                if abs(self.sliders[name].value - value) > 1e-9:
                    self.sliders[name].value = value

    def close(self) -> None:
        """Close the page. Calling it twice is harmless."""
        server, self._server = self._server, None
        if server is not None:
            with contextlib.redirect_stdout(sys.stderr):
                server.stop()

    def _build_scene(self, twin: Twin) -> None:
        scene = self._server.scene
        scene.set_up_direction("+z")
        self._world = scene.add_frame("/world", show_axes=False)
        scene.add_grid("/world/ground", width=60.0, height=60.0, cell_size=0.5, section_size=1.0)
        self._robot = [scene.add_frame(f"/world/robot{i}", show_axes=False) for i in range(len(twin.links))]
        self._ghost = [
            scene.add_frame(f"/world/ghost{i}", show_axes=False, visible=False) for i in range(len(twin.links))
        ]
        for number, shape in enumerate(twin.shapes()):
            mesh = {"vertices": shape.vertices, "faces": shape.faces}
            scene.add_mesh_simple(f"/world/robot{shape.link}/shape{number}", color=shape.colour, **mesh)
            scene.add_mesh_simple(f"/world/ghost{shape.link}/shape{number}", color=GHOST, opacity=0.35, **mesh)

        def look(client: Any) -> None:
            client.camera.position, client.camera.look_at = (2.2, -2.2, 1.3), (0.0, 0.0, 0.6)

        self._server.on_client_connect(look)

    def _build_panel(self) -> None:
        gui, wishes = self._server.gui, self._wishes
        self._text = gui.add_markdown("starting")
        self.buttons: dict[str, Any] = {}
        """The buttons by what they do."""
        for name, act in (("reset", wishes.reset), ("pause", self._pause), ("step", self._step)):
            self.buttons[name] = gui.add_button(name)
            self.buttons[name].on_click(lambda _, act=act: act())
        speed = gui.add_slider("speed", min=0.1, max=2.0, step=0.1, initial_value=1.0)
        speed.on_update(lambda _: setattr(wishes, "speed", float(speed.value)))
        rises = gui.add_checkbox("reset after a fall", True)
        rises.on_update(lambda _: setattr(wishes, "rises", bool(rises.value)))
        self._follow = gui.add_checkbox("follow the robot", True)
        self._show_ghost = gui.add_checkbox("show the reference motion", True)
        self.sliders: dict[str, Any] = {}
        """The sliders of the command by element."""
        with gui.add_folder("command"):
            for element in wishes.elements:
                slider = gui.add_slider(
                    element.name,
                    min=element.low,
                    max=element.high,
                    step=max(1e-3, round((element.high - element.low) / 100, 3)),
                    initial_value=element.value,
                )
                slider.on_update(lambda event, name=element.name: self._told(event, name))
                self.sliders[element.name] = slider
            if wishes.elements:
                self.buttons["halt"] = gui.add_button("halt")
                self.buttons["halt"].on_click(lambda _: self._act(wishes.halt))
        with gui.add_folder("push"):
            self._link = gui.add_dropdown("link", wishes.links, initial_value=wishes.links[0])
            self.impulse = gui.add_vector3("impulse [N s], base axes", (0.0, 10.0, 0.0), step=1.0)
            """The impulse of the push button."""
            self._lasts = gui.add_number("lasts [s]", 0.1, min=0.01, max=2.0, step=0.01)
            self.buttons["push"] = gui.add_button("push")
            self.buttons["push"].on_click(lambda _: self._push())
        if len(wishes.ports) > 1:
            with gui.add_folder("port"):
                blend = gui.add_number("blend [s]", 0.5, min=0.0, max=5.0, step=0.1)
                for name in wishes.ports:
                    self.buttons[f"play {name}"] = gui.add_button(f"play {name}")
                    self.buttons[f"play {name}"].on_click(lambda _, n=name: wishes.hand_over(n, float(blend.value)))
        gui.add_markdown(LEGEND)

    def _build_keys(self) -> None:
        gui, wishes = self._server.gui, self._wishes
        for key, (name, tenths) in KEYS.items():
            if name in self.sliders:
                words = f"{name} {'up' if tenths > 0 else 'down'}"
                command = gui.add_command(words, hotkey=key)
                command.on_trigger(lambda _, n=name, t=tenths: self._act(lambda: wishes.nudge(n, t)))
        for words, key, act in (
            ("halt", "X", lambda: self._act(wishes.halt)),
            ("pause", "space", self._pause),
            ("step", "N", self._step),
            ("reset", "R", wishes.reset),
            ("push", "P", self._push),
        ):
            gui.add_command(words, hotkey=key).on_trigger(lambda _, act=act: act())

    def _told(self, event: Any, name: str) -> None:
        # What the program sets comes back without a client.
        if event.client is not None:
            self._wishes.tell(name, float(event.target.value))

    def _act(self, act: Any) -> None:
        """Change the command and move the sliders after it."""
        act()
        for name, value in self._wishes.told().items():
            self.sliders[name].value = value

    def _pause(self) -> None:
        self._wishes.paused = not self._wishes.paused
        self.buttons["pause"].label = "go on" if self._wishes.paused else "pause"

    def _step(self) -> None:
        if self._wishes.paused:
            self._wishes.step()

    def _push(self) -> None:
        x, y, z = (float(value) for value in self.impulse.value)
        self._wishes.push(self._link.value, (x, y, z), float(self._lasts.value))


def address_of(host: str, port: int) -> str:
    """Where to look, in words."""
    shown = f"[{host}]" if ":" in host else host
    text = f"view: http://{shown}:{port}"
    if host in LOOPBACK:
        text += f" (on another machine: ssh -L {port}:{shown}:{port} THIS_MACHINE, then http://localhost:{port} there)"
    else:
        text += " (it has no password: whoever reaches this machine can drive the robot)"
    return f"{text}; Ctrl-C ends it"


def _place(links: list[Any], place: Array, turn: Array) -> None:
    for link, position, wxyz in zip(links, place, turn, strict=True):
        link.position, link.wxyz = position, wxyz


def _free(host: str, port: int) -> int:
    """The port, once it is known that it is free: viser would take the next one without a word."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except OSError as cause:
        raise OutputError(
            f"--view can't listen at {host}:{port} ({cause.strerror or cause}): give another --view-port, 0 for any "
            "that is free, or another --view-host"
        ) from None
