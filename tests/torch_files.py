"""Files as PyTorch before 1.6 wrote them, made without PyTorch."""

import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = 0x1950A86A20F9469CFC6C


def save(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays of float32 and int64, each with a storage of its own."""
    with _pretended_torch() as torch, path.open("wb") as file:
        views: OrderedDict[str, _Tensor] = OrderedDict()
        storages: dict[str, NDArray[Any]] = {}
        for number, (name, array) in enumerate(tensors.items()):
            array = array.copy(order="C")
            kind = torch.FloatStorage if array.dtype == np.float32 else torch.LongStorage
            storages[str(number)] = array
            views[name] = _Tensor(kind, str(number), array)
        for part in (MAGIC, 1001, {"little_endian": True}):
            pickle.dump(part, file, 2)
        _Pickler(file, 2).dump(views)
        pickle.dump(list(storages), file, 2)
        for array in storages.values():
            file.write(np.int64(array.size).tobytes() + array.tobytes())


class _Storage:
    def __init__(self, pid: tuple[Any, ...]) -> None:
        self.pid = pid


class _Tensor:
    def __init__(self, kind: type, key: str, array: NDArray[Any]) -> None:
        self._storage = _Storage(("storage", kind, key, "cpu", array.size, None))
        steps = tuple(step // array.itemsize for step in array.strides)
        self._rest: tuple[Any, ...] = (0, array.shape, steps, False, OrderedDict())

    def __reduce__(self) -> tuple[Any, ...]:
        utils: Any = sys.modules["torch._utils"]
        return utils._rebuild_tensor_v2, (self._storage, *self._rest)


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> tuple[Any, ...] | None:
        return value.pid if isinstance(value, _Storage) else None


@contextmanager
def _pretended_torch() -> Iterator[Any]:
    """Modules with the names that such a file mentions."""
    torch: Any = types.ModuleType("torch")
    utils: Any = types.ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def rebuild(*_: object) -> None:
        raise AssertionError

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    torch._utils = utils
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        yield torch
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
