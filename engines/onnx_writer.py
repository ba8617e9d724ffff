"""ONNX files written node by node; needs the package onnx."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

_OPSET = 17
Shape = Sequence[int | str | None]  # a string names a free size


class OnnxWriter:
    """Collects ONNX nodes and constants, and makes a file of them."""

    def __init__(self) -> None:
        """Start empty."""
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, kind: str, inputs: Iterable[str], output: str = "", **attributes: Any) -> str:
        """Add a node of one output; returns the output's name, unique by default."""
        from onnx import helper

        output = output or f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], output, **attributes))
        return output

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        """Add a constant; returns its name."""
        from onnx import numpy_helper

        name = f"constant{len(self._constants)}"
        array = np.ascontiguousarray(value, dtype).reshape(np.shape(value))
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def pool(self, name: str) -> str:
        """Add the mean over a map (B, C, H, W); returns the name of that (B, C)."""
        return self.add("ReduceMean", [name], axes=[2, 3], keepdims=0)

    def model(
        self, name: str, shape: Shape, outputs: Mapping[str, Shape], dtype: type = np.float32
    ) -> bytes:
        """Return the content of the ONNX file.

        `name`, `shape` and `dtype` are those of the input; `outputs` are name -> shape, of float32.
        """
        from onnx import TensorProto, checker, helper

        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        given = helper.make_tensor_value_info(name, kind, shape)
        results = [
            helper.make_tensor_value_info(each, TensorProto.FLOAT, size)
            for each, size in outputs.items()
        ]
        graph = helper.make_graph(self._nodes, "network", [given], results, self._constants)
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="faces")
        checker.check_model(model)
        return model.SerializeToString()
