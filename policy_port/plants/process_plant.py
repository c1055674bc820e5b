"""One plant whose environments are shared out among processes, for simulators that use one core each."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.place import Place
from policy_port.contract.sensing import Sensing
from policy_port.control.plant import MEASURED, Mounting, PlantState, Sensed, SimulatedPlant
from policy_port.errors import RobotError
from policy_port.plants.physics import Physics, apply_effort, set_physics

END_TIME = 10.0
"""How long a process may take to end [s]."""
WIDTHS = {"base_pos": 3, "base_quat": 4, "base_lin_vel": 3, "base_ang_vel": 3}
"""Columns of the measurements that are not one per joint."""


class MakePlant(Protocol):
    """Stands environments up; it is called in the other process, so it has to be a plain function or a partial."""

    def __call__(self, *, num_envs: int) -> SimulatedPlant:
        """Stand `num_envs` environments up."""
        ...


class ProcessPlant:
    """Environments in several processes behind the protocol of one; see `policy_port.control.plant.Plant`.

    Rows are dealt out in order, and an environment does not know in which process it is: the numbers are those of a
    single process, bit for bit. Measurements and targets travel through shared memory, one message each way per step.
    """

    def __init__(self, make: MakePlant, *, num_envs: int, processes: int) -> None:
        """Start the processes and stand the robots up.

        Args:
            make: Stands up as many environments as it is told.
            num_envs: Number of environments.
            processes: Number of processes, at most one per environment.

        Raises:
            RobotError: As `make` does; also when a process dies.
        """
        self.num_envs = num_envs
        self._workers: list[_Worker] = []
        self._memory: SharedMemory | None = None
        self._written = False
        try:
            for rows in np.array_split(np.arange(num_envs), min(processes, num_envs)):
                self._workers.append(_Worker(make, slice(int(rows[0]), int(rows[-1]) + 1)))
            abouts = [worker.answer() for worker in self._workers]
            name, self.joint_names, self.timestep, self.skipped_meshes = abouts[0]
            self.name = f"{name}, {len(self._workers)} processes"
            size = sum(_widths(len(self.joint_names)).values()) * num_envs * np.dtype(np.float64).itemsize
            self._memory = SharedMemory(create=True, size=size)
            self._shared = _views(self._memory, num_envs, len(self.joint_names))
            for worker in self._workers:
                worker.tell(("share", self._memory.name, num_envs))
            self._all()
        except BaseException:
            self.close()
            raise

    def reset(self, joint_pos: Array, rows: NDArray[np.bool_] | None = None) -> None:
        """Put environments at rest at `joint_pos` [rad or m], shape (num_envs, joints); see `Plant.reset`."""
        self._shared["start"][:] = joint_pos
        self._written = False
        for worker in self._workers:
            worker.tell(("reset", None if rows is None else rows[worker.rows].copy()))
        self._all()

    def read(self, state: PlantState) -> None:
        """Fill `state` with the present measurement."""
        for name in MEASURED:
            np.copyto(getattr(state, name), self._shared[name])
        if state.sensed is not None:
            for worker in self._workers:
                worker.tell(("sense", state.sensed.senses))
            for worker, arrays in zip(self._workers, self._all(), strict=True):
                for name, values in arrays.items():
                    state.sensed.arrays[name][worker.rows] = values

    def write(self, target: Array) -> None:
        """Set joint targets [SI], shape (num_envs, joints), plant joint order; see `Plant.write`."""
        np.copyto(self._shared["target"], target)
        self._written = True

    def step(self, count: int) -> None:
        """Advance by `count` physics steps, holding the targets."""
        for worker in self._workers:
            worker.tell(("step", count, self._written))
        self._all()

    def apply_effort(self, effort: Array) -> None:
        """Drive joints beside their drives; see `EffortPlant.apply_effort`."""
        for worker in self._workers:
            worker.tell(("apply_effort", effort[worker.rows]))
        self._all()

    def effort(self) -> Array:
        """Torque or force of the drives in the last physics step [N m or N], shape (num_envs, joints)."""
        return self._shared["effort"].copy()

    def link_position(self, link: str) -> Array:
        """Position of a link's origin in the world [m], shape (num_envs, 3)."""
        for worker in self._workers:
            worker.tell(("link_position", link))
        return np.concatenate(self._all())

    def push(self, link: str, force: Array) -> None:
        """Pull at a link's centre of mass; see `SimulatedPlant.push`."""
        for worker in self._workers:
            worker.tell(("push", link, force[worker.rows]))
        self._all()

    def set_gains(self, stiffness: Array, damping: Array) -> None:
        """Give the drives other gains; see `SimulatedPlant.set_gains`."""
        for worker in self._workers:
            worker.tell(("set_gains", stiffness, damping))
        self._all()

    def set_physics(self, physics: Physics) -> None:
        """Give environments other physics; see `PhysicalPlant.set_physics`."""
        for worker in self._workers:
            worker.tell(("set_physics", physics.of_rows(worker.rows)))
        self._all()

    def mounting(self, place: Place | Literal["com"]) -> Mounting:
        """Where a place is on the base; see `Plant.mounting`."""
        for worker in self._workers:
            worker.tell(("mounting", place))
        found: list[Mounting] = self._all()
        return found[0]._replace(position=np.concatenate([mounting.position for mounting in found]))

    def render(self, height: int, width: int) -> NDArray[np.uint8]:
        """Colour image of environment 0, shape (height, width, 3)."""
        self._workers[0].tell(("render", height, width))
        return self._workers[0].answer()

    def close(self) -> None:
        """End the processes. Calling it twice is harmless."""
        for worker in self._workers:
            worker.close()
        self._workers = []
        if self._memory is not None:
            self._shared = {}
            with contextlib.suppress(BufferError):
                self._memory.close()
            self._memory.unlink()
            self._memory = None

    def _all(self) -> list[Any]:
        """What every process answers; all have answered before the first error is raised."""
        answers = [worker.raw() for worker in self._workers]
        for good, answer in answers:
            if not good:
                raise answer
        return [answer for _, answer in answers]


class _Worker:
    """A process and the rows that it has."""

    def __init__(self, make: MakePlant, rows: slice) -> None:
        self.rows = rows
        # Not fork: graphics drivers and PhysX do not survive it.
        context = multiprocessing.get_context("spawn")
        self._line, far = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(far, make, rows), daemon=True)
        self._process.start()
        far.close()

    def tell(self, message: tuple[Any, ...]) -> None:
        with contextlib.suppress(OSError):
            # A broken line is found out when the answer is awaited.
            self._line.send(message)

    def raw(self) -> tuple[bool, Any]:
        try:
            return self._line.recv()
        except (EOFError, OSError):
            self._process.join(END_TIME)
            return False, RobotError(
                f"the process of environments {self.rows.start} to {self.rows.stop - 1} has died (exit code "
                f"{self._process.exitcode}); with --processes 1 the simulator's own message is seen"
            )

    def answer(self) -> Any:
        good, answer = self.raw()
        if not good:
            raise answer
        return answer

    def close(self) -> None:
        # The closed line is what ends it.
        self._line.close()
        self._process.join(END_TIME)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(line: Connection, make: MakePlant, rows: slice) -> None:
    """What runs in the other process, until the line is closed."""
    # Ctrl-C is for the one who asks; closing the line ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, OSError):
        try:
            plant = make(num_envs=rows.stop - rows.start)
        except Exception as error:
            line.send((False, error))
            return
        with contextlib.closing(plant):
            joints = plant.joint_names
            line.send((True, (plant.name, joints, plant.timestep, getattr(plant, "skipped_meshes", 0))))
            _, name, num_envs = line.recv()
            with contextlib.closing(SharedMemory(name)) as memory:
                _answer(line, plant, {key: view[rows] for key, view in _views(memory, num_envs, len(joints)).items()})


def _answer(line: Connection, plant: SimulatedPlant, shared: dict[str, Array]) -> None:
    """Do what is asked until nobody asks any more, or something goes wrong."""
    state = PlantState(sensed=None, **{name: shared[name] for name in MEASURED})
    kept: dict[Sensing, Sensed] = {}
    plant.read(state)
    line.send((True, None))
    while True:
        try:
            message = line.recv()
        except (EOFError, OSError):
            return
        try:
            answer = _obey(plant, message, shared, state, kept)
        except Exception as error:
            line.send((False, error))
            return
        line.send((True, answer))


def _obey(
    plant: SimulatedPlant,
    message: tuple[Any, ...],
    shared: dict[str, Array],
    state: PlantState,
    kept: dict[Sensing, Sensed],
) -> Any:
    match message:
        case ("sense", senses):
            sensed = kept.setdefault(senses, Sensed.allocate(senses, plant.num_envs, len(plant.joint_names)))
            plant.read(replace(state, sensed=sensed))
            return sensed.arrays
        case ("step", count, written):
            # After a reset the plant itself knows what its drives hold.
            if written:
                plant.write(shared["target"])
            plant.step(count)
        case ("reset", rows):
            plant.reset(shared["start"], rows)
        case ("link_position", link):
            return plant.link_position(link)
        case ("mounting", place):
            return plant.mounting(place)
        case ("push", link, force):
            return plant.push(link, force)
        case ("apply_effort", effort):
            return apply_effort(plant, effort)
        case ("set_gains", stiffness, damping):
            return plant.set_gains(stiffness, damping)
        case ("set_physics", physics):
            return set_physics(plant, physics)
        case ("render", height, width):
            return plant.render(height, width)
    plant.read(state)
    shared["effort"][:] = plant.effort()
    return None


def _widths(joints: int) -> dict[str, int]:
    """Columns of each shared array."""
    return {name: WIDTHS.get(name, joints) for name in (*MEASURED, "start", "target", "effort")}


def _views(memory: SharedMemory, num_envs: int, joints: int) -> dict[str, Array]:
    """The arrays in shared memory, shape (num_envs, columns) each."""
    views, start = {}, 0
    for name, width in _widths(joints).items():
        views[name] = np.ndarray((num_envs, width), np.float64, memory.buf, start)
        start += views[name].nbytes
    return views
