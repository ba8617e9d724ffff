"""Look into an .onnx file before an engine runs any of it."""

from collections.abc import Iterator
from pathlib import Path

from errors import WeightsError

# Numbers of fields in onnx.proto: where the message inside lies.
_MODEL = {7: "graph", 25: "function"}
_GRAPH = {1: "node"}
_FUNCTION = {7: "node"}
_NODE = {5: "attribute"}
_OP_TYPE = 4  # of a node
_BODIES = frozenset({6, 11})  # of an attribute: a graph, several graphs
_CONTROL_FLOW = frozenset({b"Loop", b"If", b"Scan", b"SequenceMap"})


def refuse_control_flow(path: Path) -> None:
    """Make sure that a network is a plain chain of layers, as all of the program's are.

    A loop in a file from elsewhere may take for ever, when it is run or already when an
    engine tries to make the network simpler.

    Raises:
        WeightsError: it has Loop, If or Scan, or any other layer with a network in it; or the
            file is damaged.
        OSError: it cannot be read.
    """
    data = memoryview(path.read_bytes())
    try:
        for name, message in _messages(data, _MODEL):
            for _, node in _messages(message, _GRAPH if name == "graph" else _FUNCTION):
                _refuse_node(node, path)
    except (IndexError, ValueError) as error:
        raise WeightsError(f"{path} is not a network: it is damaged or no ONNX file") from error


def _refuse_node(node: memoryview, path: Path) -> None:
    kinds = {bytes(value) for number, value in _fields(node) if number == _OP_TYPE}
    nested = any(
        number in _BODIES
        for _, attribute in _messages(node, _NODE)
        for number, _ in _fields(attribute)
    )
    if nested or kinds & _CONTROL_FLOW:
        raise WeightsError(
            f"{path} has layers that repeat or choose (Loop, If, Scan); "
            "give a network without, such as python -m estimators.export makes"
        )


def _messages(data: memoryview, wanted: dict[int, str]) -> Iterator[tuple[str, memoryview]]:
    return ((wanted[number], value) for number, value in _fields(data) if number in wanted)


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the fields of a protocol buffer that have a length: number and content.

    Raises:
        IndexError, ValueError: it is none, or is cut off.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(data, at)
        elif kind == 2:
            length, at = _varint(data, at)
            if length > len(data) - at:
                raise ValueError("cut off")
            yield key >> 3, data[at : at + length]
            at += length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError("no such kind of field")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a number, seven bits a byte, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
    raise ValueError("too long a number")
