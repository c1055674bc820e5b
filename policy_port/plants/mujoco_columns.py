"""Numbers of many MuJoCo environments in one matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policy_port.arrays import Array


class Columns:
    """Chosen numbers of the same array of every environment; allocates nothing after its construction."""

    def __init__(self, arrays: Sequence[Array], columns: Sequence[int]) -> None:
        """Plan the gather.

        Args:
            arrays: One array per environment, of one size. They are MuJoCo's own memory, which stays where it is.
            columns: Which of their numbers.
        """
        width = len(arrays[0])
        self._arrays = arrays
        self._all = arrays[0] if len(arrays) == 1 else np.zeros(len(arrays) * width)
        starts = width * np.arange(len(arrays), dtype=np.intp)
        self._places = starts[:, None] + np.asarray(columns, dtype=np.intp)
        self.values: Array = np.zeros(self._places.shape)
        """What `read` found last, shape (num_envs, columns)."""
        first, count = (columns[0], len(columns)) if columns else (0, 0)
        together = len(arrays) == 1 and [*columns] == [*range(first, first + count)]
        self._live = arrays[0][None, first : first + count] if together else None

    def now(self) -> Array:
        """The numbers as they are, to be read at once: MuJoCo's own memory, where one environment has them in a row."""
        return self.read() if self._live is None else self._live

    def read(self) -> Array:
        """Fill `values` from the arrays as they are."""
        if self._all is not self._arrays[0]:
            np.concatenate(self._arrays, out=self._all)
        # mode="clip" only because the other modes buffer `out`; the places are in range by construction.
        self._all.take(self._places, None, self.values, "clip")
        return self.values
