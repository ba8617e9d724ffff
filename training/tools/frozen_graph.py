"""Rewrite frozen TensorFlow graphs of convolutions as ONNX, without TensorFlow.

OpenVINO reads the frozen graph; its operations are few and are written one by one. Biases and
constant factors are folded into the convolutions, so that a former batch normalisation or
scaled branch costs nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engines.onnx_writer import OnnxWriter
from engines.openvino_engine import shared_core
from errors import WeightsError
from structures import Float32


def read_frozen(path: Path) -> Any:
    """Read a frozen graph (.pb) as an `openvino.Model`; WeightsError if OpenVINO cannot."""
    try:
        return shared_core().read_model(path)
    except RuntimeError as error:
        raise WeightsError(f"{path} is not a frozen graph that OpenVINO can read") from error


class Translator:
    """Writes operations of an `openvino.Model` to an `OnnxWriter`, each once."""

    def __init__(self, writer: OnnxWriter, entry: Any, name: str) -> None:
        """Start at `entry`, where the walk ends, whose output the writer knows as `name`.

        That output is a map (B, C, H, W).
        """
        self._writer = writer
        self._names = {entry.get_friendly_name(): name}

    def name_of(self, end: Any) -> str:
        """Return the name of an operation's output, after writing all that it needs.

        WeightsError for an unknown operation.
        """
        todo = [end]
        while todo:  # no recursion: there are hundreds of operations in a row
            operation = todo[-1]
            name = operation.get_friendly_name()
            if name in self._names:
                todo.pop()
                continue
            missing = [n for n in _needs(operation) if n.get_friendly_name() not in self._names]
            todo += missing
            if not missing:
                self._names[name] = self._write(operation)
        return self._names[end.get_friendly_name()]

    def _write(self, operation: Any) -> str:
        kind, attributes = operation.get_type_name(), operation.get_attributes()
        names = [self._names[each.get_friendly_name()] for each in _needs(operation)]
        source, scale, shift = affine(operation)
        if source.get_type_name() == "Convolution":
            weights = constant_of(source, 1) * scale.reshape(-1, 1, 1, 1)
            bias = np.broadcast_to(shift, len(weights))
            names += [self._writer.constant(weights), self._writer.constant(bias)]
            window = _window(source.get_attributes(), "dilations")
            return self._writer.add("Conv", names, **window)
        if kind in ("Relu", "Add"):
            return self._writer.add(kind, names)
        if kind == "Concat":
            return self._writer.add(kind, names, axis=attributes["axis"])
        if kind == "MaxPool" and attributes["rounding_type"] == "floor":
            return self._writer.add(
                kind, names, kernel_shape=attributes["kernel"], **_window(attributes)
            )
        raise WeightsError(f"the frozen graph has an operation {kind} that is not supported")


def affine(operation: Any) -> tuple[Any, Float32, Float32]:
    """Follow sums and products with constants upwards.

    Returns:
        source, scale (C,) or (1,), shift alike: the operation is scale * source + shift.
    """
    scale, shift = np.ones(1), np.zeros(1)
    while True:
        kind, inputs = operation.get_type_name(), sources(operation)
        fixed = [i for i, each in enumerate(inputs) if each.get_type_name() == "Constant"]
        if kind == "Reshape":
            operation = inputs[0]
            continue
        if kind not in ("Add", "Subtract", "Multiply", "Divide") or len(fixed) != 1:
            return operation, scale.astype(np.float32), shift.astype(np.float32)
        value = constant_of(operation, fixed[0]).astype(np.float64).ravel()
        if kind in ("Add", "Subtract"):
            shift = shift + scale * (value if kind == "Add" else -value)
        else:
            scale = scale * (value if kind == "Multiply" else 1 / value)
        operation = inputs[1 - fixed[0]]


def sources(operation: Any) -> list[Any]:
    """Return the operations whose outputs an operation takes."""
    return [each.get_source_output().get_node() for each in operation.inputs()]


def constant_of(operation: Any, index: int) -> Float32:
    """Return the constant that is the operation's input number `index`."""
    return np.asarray(sources(operation)[index].get_data(), np.float32)


def _needs(operation: Any) -> list[Any]:
    """Return the operations that must be written before this one."""
    source = affine(operation)[0]
    if source.get_type_name() == "Convolution":
        return sources(source)[:1]
    return sources(operation)


def _window(attributes: Mapping[str, Any], *more: str) -> dict[str, Any]:
    """Return the attributes of a convolution or pooling by ONNX's names."""
    pads = [*attributes["pads_begin"], *attributes["pads_end"]]
    return {"pads": pads, "strides": attributes["strides"]} | {n: attributes[n] for n in more}
