"""Read the tensors of a PyTorch file without PyTorch and without running code from it.

A file of `torch.save` before PyTorch 1.6 is a row of pickles: a magic number, a version,
properties of the machine, the object, the keys of its storages; then each storage's values.
Only classes that a dict of tensors needs are allowed: a pickle could otherwise call anything.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from errors import WeightsError

Array = NDArray[Any]

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": np.float32, "LongStorage": np.int64}


def read_tensors(path: Path) -> dict[str, Array]:
    """Return the tensors of a state dict by name, as copies.

    Raises:
        WeightsError: the file cannot be read, or is not of this format.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}; check the path") from error
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{path} is damaged, or no PyTorch file of the old format") from error


def _read(file: BinaryIO) -> dict[str, Array]:
    reader = _Reader(file)
    if reader.load() != _MAGIC:
        raise ValueError("no magic number")
    _Reader(file).load()  # the version
    _Reader(file).load()  # byte order and sizes of the machine: little-endian ever since
    reader = _Reader(file)
    views = reader.load()
    storages = {}
    for key in _Reader(file).load():
        dtype, count = reader.storages[key]
        found = int(np.frombuffer(file.read(8), "<i8")[0])
        values = np.frombuffer(file.read(count * np.dtype(dtype).itemsize), dtype)
        if found != count or len(values) != count:
            raise ValueError("a storage is truncated")
        storages[key] = values
    return {name: view.of(storages) for name, view in views.items()}


class _View:
    """A tensor: a part of a storage."""

    def __init__(
        self, key: str, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
    ) -> None:
        self._key, self._offset, self._size, self._stride = key, offset, size, stride

    def of(self, storages: dict[str, Array]) -> Array:
        """Return its values, as a copy; ValueError if they lie outside the storage."""
        values = storages[self._key]
        if 0 in self._size:
            return np.zeros(self._size, values.dtype)
        steps = zip(self._size, self._stride, strict=True)
        last = self._offset + sum((length - 1) * step for length, step in steps)
        if min(self._offset, *self._size, *self._stride, 0) < 0 or last >= len(values):
            raise ValueError("a tensor lies outside its storage")
        bytes_apart = [step * values.itemsize for step in self._stride]
        start = values[self._offset :]
        return np.lib.stride_tricks.as_strided(start, self._size, bytes_apart).copy()


def _view(key: str, offset: int, size: Any, stride: Any, *_: Any) -> _View:
    return _View(key, offset, tuple(size), tuple(stride))


class _Reader(pickle.Unpickler):
    """Reads one pickle of nothing but dicts and tensors.

    Attributes:
        storages: key -> dtype and number of its values.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, tuple[Any, int]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a file of weights")

    def persistent_load(self, pid: Any) -> str:
        kind, dtype, key, _, count, *_ = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"want a storage, got {kind!r}")
        self.storages[key] = (dtype, int(count))
        return str(key)
