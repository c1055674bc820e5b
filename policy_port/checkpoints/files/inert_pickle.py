"""Reading values out of a pickle of foreign objects without importing or building any of them."""

from __future__ import annotations

import io
import math
import pickle
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.checkpoints.files.pickle_scan import scan_pickle
from policy_port.errors import CheckpointError

_MAX_BYTES = 64 * 1024 * 1024
_USUAL = re.compile(
    r"numpy\.(dtype|ndarray|float\d+|int\d+|bool_?)|numpy\.dtypes\.\w+"
    r"|numpy\._?core\.(multiarray\.(_reconstruct|scalar)|numeric\._frombuffer)"
    r"|numpy\.random\.(_pickle\.__\w+_ctor|bit_generator\.\w+|_\w+\.(PCG64|MT19937|Philox|SFC64))"
    r"|(gymnasium|gym)\.spaces\.\w+\.\w+|collections\.OrderedDict|_codecs\.encode"
    r"|stable_baselines3\.common\.(vec_env\.vec_normalize\.VecNormalize|running_mean_std\.RunningMeanStd)"
    r"|(stable_baselines3|sb3_contrib)\.(\w+\.)*policies\.\w+|torch\.nn\.modules\.activation\.\w+"
    r"|stable_baselines3\.common\.torch_layers\.\w+|torch\.optim\.\w+\.\w+"
)
"""Names that spaces, policies' arguments and VecNormalize are made of, as gym, gymnasium and Stable-Baselines3 write
them."""
_NUMBERS = {"f8": np.float64, "f4": np.float32, "i8": np.int64, "i4": np.int32, "u1": np.uint8}


class Inert:
    """Stands for an object of a pickle: what it was called, with which arguments, and its state."""

    dotted = ""
    """What it was called in the pickle."""
    arguments: tuple[Any, ...] = ()
    state: Any = None
    entries: dict[Any, Any]
    """What a dict-like object was filled with, in that order."""

    def __new__(cls, *arguments: object, **named: object) -> Inert:
        """Accept whatever the pickle calls the name with."""
        self = super().__new__(cls)
        self.arguments = arguments
        self.entries = {}
        return self

    def __init__(self, *arguments: object, **named: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        """Keep the attributes that the pickle would have set."""
        self.state = state

    def __call__(self, *arguments: object) -> Inert:
        """Another stand-in, for a name that is called twice."""
        return Inert(*arguments)

    def append(self, item: object) -> None:
        """Ignore an item of a list-like object."""

    def extend(self, items: object) -> None:
        """Ignore items of a list-like object."""

    def __setitem__(self, key: object, value: object) -> None:
        """Keep an entry of a dict-like object."""
        self.entries[key] = value

    def field(self, name: str) -> Any:
        """An attribute that the pickle would have set."""
        state = self.state[0] if isinstance(self.state, tuple) and self.state else self.state
        return state.get(name) if isinstance(state, dict) else None


def foreign_imports(data: bytes, where: str) -> tuple[str, ...]:
    """What a pickle would import beside arrays, spaces and statistics; whoever unpickles it plainly runs that."""
    return tuple(sorted(name for name in scan_pickle(data, where).imports if not _USUAL.fullmatch(name)))


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """A stand-in for any name."""
        return type("Inert", (Inert,), {"dotted": f"{module_name}.{global_name}"})

    def persistent_load(self, pid: Any) -> Any:
        """A stand-in for any reference."""
        return Inert()


def read_inert(data: bytes, where: str) -> Any:
    """Unpickle with every imported name replaced by a stand-in that does nothing."""
    if len(data) > _MAX_BYTES:
        raise CheckpointError(f"{where}: more than {_MAX_BYTES} bytes")
    # Bounds the memo, which the fast unpickler would otherwise allocate as the file says.
    scan_pickle(data, where)
    try:
        return _InertUnpickler(io.BytesIO(data)).load()
    except Exception as error:
        # A broken pickle can fail in any way once its opcodes no longer fit together.
        raise CheckpointError(f"{where}: the pickle is damaged ({type(error).__name__})") from error


def array_of(value: Any, where: str) -> NDArray[np.float64]:
    """The numbers of a pickled NumPy array or scalar as float64."""
    if isinstance(value, (int, float)):
        return np.asarray(float(value))
    if isinstance(value, Inert) and value.dotted.endswith(".scalar") and len(value.arguments) == 2:
        return _decoded(value.arguments[0], (), value.arguments[1], where)
    if isinstance(value, Inert) and value.dotted.endswith("._frombuffer") and len(value.arguments) == 4:
        data, dtype, shape, _ = value.arguments
        return _decoded(dtype, shape, data, where)
    state = value.state if isinstance(value, Inert) else None
    if not isinstance(state, tuple) or len(state) != 5:
        raise CheckpointError(f"{where}: is not a pickled array of numbers")
    _, shape, dtype, fortran, data = state
    # Columns in another order than they were made in are pickled column by column.
    return _decoded(dtype, tuple(shape)[::-1], data, where).T if fortran else _decoded(dtype, shape, data, where)


def _decoded(dtype: Any, shape: Any, data: Any, where: str) -> NDArray[np.float64]:
    name = dtype.arguments[0] if isinstance(dtype, Inert) and dtype.arguments else None
    order = dtype.state[1] if isinstance(dtype, Inert) and isinstance(dtype.state, tuple) else "<"
    if name not in _NUMBERS or order not in ("<", "=", "|") or not isinstance(data, (bytes, bytearray)):
        raise CheckpointError(f"{where}: holds {name!r} values; expected plain numbers")
    numbers = np.frombuffer(data, dtype=np.dtype(_NUMBERS[name]).newbyteorder("<"))
    if not all(isinstance(size, int) and size >= 0 for size in shape) or math.prod(shape) != len(numbers):
        raise CheckpointError(f"{where}: declares the shape {shape} and holds {len(numbers)} numbers")
    return numbers.astype(np.float64).reshape(shape)
