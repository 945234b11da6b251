"""Arrays of many clips, on disk: what a training reads at random of a corpus that memory cannot hold.

A shelf is a file without a name in the folder for temporary files (the environment's TMPDIR: a disk, not memory, for large corpora); it
is gone with its process. What is read is a copy of just that, so no more memory is taken than is in use.
"""

import os
import tempfile

import numpy as np
import torch

from emolib.face.model import Coefficients


class Shelf:
    """Arrays (n, ...), of one type and of one shape but for n, put in one after the other; ``shelf[i]`` is the i-th one, ``shelf.rows(i,
    a, b)`` a part of its rows. For one thread."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="emolib-")  # noqa: SIM115 (it lives as long as the shelf)
        self._starts, self._kind = [0], ("", ())

    def put(self, array: np.ndarray) -> None:
        """Appends. Raises ValueError for an array of another type or shape than the first one's."""
        kind = (array.dtype.str, array.shape[1:])
        if len(self) and kind != self._kind:
            raise ValueError(f"an array of {kind} for a shelf of {self._kind}")
        self._kind = kind
        self._file.seek(0, os.SEEK_END)
        self._file.write(np.ascontiguousarray(array).tobytes())
        self._starts.append(self._starts[-1] + len(array))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def length(self, i: int) -> int:
        """How many rows the ``i``-th array has."""
        return self._starts[i + 1] - self._starts[i]

    def rows(self, i: int, start: int, stop: int) -> np.ndarray:
        """Rows ``start`` to ``stop``, both within, of the ``i``-th array."""
        dtype, shape = self._kind
        size = int(np.dtype(dtype).itemsize * np.prod(shape, dtype=int))
        first = self._starts[i] + start
        self._file.seek(first * size)
        raw = bytearray((stop - start) * size)
        self._file.readinto(raw)
        return np.frombuffer(raw, dtype).reshape(stop - start, *shape)

    def __getitem__(self, i: int) -> np.ndarray:
        i = range(len(self))[i]
        return self.rows(i, 0, self.length(i))

    def every(self, most: int) -> np.ndarray:
        """Rows of all arrays, evenly thinned to about ``most``: for means and deviations."""
        step = -(-self._starts[-1] // most) or 1
        return np.concatenate([self[i][-start % step :: step] for i, start in enumerate(self._starts[:-1])])


class Fits:
    """The fitted coefficients of clips, in their order: ``fits[i]`` those of the i-th."""

    def __init__(self, clips) -> None:
        self._shelf = Shelf()
        for clip in clips:
            self._shelf.put(clip.coefficients().to_vector().numpy())

    def __len__(self) -> int:
        return len(self._shelf)

    def __getitem__(self, i: int) -> Coefficients:
        return Coefficients.from_vector(torch.from_numpy(self._shelf[i]))

    def length(self, i: int) -> int:
        """How many frames of the ``i``-th clip are fitted."""
        return self._shelf.length(i)

    def every(self, most: int) -> Coefficients:
        """Of all clips, evenly thinned to about ``most`` frames."""
        return Coefficients.from_vector(torch.from_numpy(self._shelf.every(most)))
