"""Files made to do harm: refused in one line, before they take memory or time."""

import io
import json
import resource
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engines.onnx_reader import refuse_control_flow
from errors import SourceError, WeightsError
from estimators import ChipEstimator, decode, weights
from sources.headers import picture_size
from sources.photographs import MOST_PIXELS, load_picture

MODEL = "mobilenetv2_fairface"


# the manifest


def without(*keys: str) -> Callable[[Any], None]:
    """A change that removes what these keys lead to."""

    def change(manifest: Any) -> None:
        for key in keys[:-1]:
            manifest = manifest[key]
        del manifest[keys[-1]]

    return change


def put(value: Any, *keys: str) -> Callable[[Any], None]:
    """A change that puts a value where these keys lead to."""

    def change(manifest: Any) -> None:
        for key in keys[:-1]:
            manifest = manifest[key]
        manifest[keys[-1]] = value

    return change


ONNX = ("models", MODEL, "files", "onnx")
CHANGES = [
    without("models"),
    without("defaults"),
    without("models", MODEL),
    without("models", MODEL, "files"),
    without(*ONNX, "sha256"),
    put([], "models"),
    put([], "defaults"),
    put({"mobilenetv2": []}, "defaults"),
    put([], "models", MODEL),
    put(None, "models", MODEL, "files"),
    put("x", *ONNX),
    put(7, *ONNX, "sha256"),
    *(put(name, *ONNX, "file") for name in ("../x.onnx", "/etc/passwd", "..", "", None, "a\0b")),
    *(put(x, "models", MODEL, "spread_scale") for x in ("x", None, -1, 0, float("nan"), 10**400)),
    *(put(x, "models", MODEL, "spread_scale") for x in ({}, {"5": 0}, {"x": 1}, {"101": 1}, [1])),
    put(["x"], "models", MODEL, "architecture"),
    put({}, "models", MODEL, "terms"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_manifest_that_is_json_but_wrong_is_one_line(
    change: Callable[[Any], None], tmp_path: Path
) -> None:
    manifest = json.loads(weights.MANIFEST.read_text())
    change(manifest)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(WeightsError, match="restore") as caught:
        weights.find_weights(None, "mobilenetv2", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"[]", b"{}", b"7", b"\xff\xfe", b"{", b"[" * 200_000])
def test_a_manifest_of_another_kind_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(WeightsError, match="restore"):
        weights.find_weights(None, "mobilenetv2", tmp_path)


# networks


@pytest.mark.slow
def test_a_keras_file_that_is_nested_deeply_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("keras")
    from engines.tensorflow_engine import TensorFlowEngine

    deep = b'{"class_name": "Sequential", "config": {"layers": [' * 20_000
    for config in (deep, b"[" * 200_000):
        path = tmp_path / "deep.keras"
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("config.json", config + b"]" * 200_000 if config[:1] == b"[" else config)
            file.writestr("metadata.json", "{}")
            file.writestr("model.weights.h5", b"")
        with pytest.raises(WeightsError, match="not a Keras model"):
            TensorFlowEngine(path, 1)


def network(kind: str, body: str = "", in_function: bool = False) -> bytes:
    """A small network with one layer of that kind, which may hold another network."""
    onnx = pytest.importorskip("onnx")
    make = onnx.helper
    value = make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    inner = make.make_graph([make.make_node("Relu", ["x"], ["y"])], "inner", [value], [value])
    node = make.make_node(kind, ["x"], ["y"], **({body: inner} if body else {}))
    if not in_function:
        graph = make.make_graph([node], "outer", [value], [value])
        return bytes(make.make_model(graph).SerializeToString())
    opset = [make.make_opsetid("", 20)]
    function = make.make_function("own", "F", ["x"], ["y"], [node], opset)
    call = make.make_node("F", ["x"], ["y"], domain="own")
    graph = make.make_graph([call], "outer", [value], [value])
    return bytes(make.make_model(graph, functions=[function]).SerializeToString())


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        *(("Loop", "body"), ("Scan", "body"), ("If", "then_branch"), ("Other", "body")),
        *(("Loop", ""), ("Scan", ""), ("If", "")),
    ],
)
@pytest.mark.parametrize("in_function", [False, True])
def test_networks_that_repeat_or_choose_are_refused(
    kind: str, body: str, in_function: bool, tmp_path: Path
) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(network(kind, body, in_function))
    with pytest.raises(WeightsError, match="Loop, If, Scan"):
        refuse_control_flow(path)


def test_other_networks_and_all_that_come_with_the_program_are_not(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(network("Relu"))
    refuse_control_flow(path)
    files = list(weights.WEIGHTS_DIR.glob("*.onnx"))
    assert files
    began_s = time.process_time()
    for each in files:
        refuse_control_flow(each)
    assert time.process_time() - began_s < 0.1 * len(files)


def test_what_is_no_network_is_refused_however_it_is_cut(tmp_path: Path) -> None:
    whole, path = network("Loop", "body"), tmp_path / "network.onnx"
    for end in range(len(whole)):
        path.write_bytes(whole[:end] + b"\xff" * 12)
        with pytest.raises(WeightsError):
            refuse_control_flow(path)


@pytest.mark.parametrize("head", ["age", "gender", "race"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_answers_that_are_no_numbers_never_come_out(head: str, wrong: float) -> None:
    outputs = {"age": np.full((2, 101), 1 / 101, np.float32), "gender": np.full((2, 2), 0.5)}
    outputs["race"] = np.full((2, 5), 1 / 5, np.float32)
    assert len(decode(outputs, 1.0).age_years) == 2
    outputs[head] = outputs[head].astype(np.float32)
    outputs[head][1] = wrong
    with pytest.raises(WeightsError, match="no numbers"), np.errstate(invalid="ignore"):
        decode(outputs, 1.0)

    class Engine:
        name, device, precision, input_size = "scripted", "cpu", "float32", 8

        def submit(self, chips: np.ndarray) -> Callable[[], dict[str, np.ndarray]]:
            return lambda: {
                n: np.resize(v[1:], (len(chips), v.shape[1])) for n, v in outputs.items()
            }

    with pytest.raises(WeightsError, match="no numbers"), np.errstate(invalid="ignore"):
        ChipEstimator(Engine(), 1.0).estimate(np.zeros((1, 8, 8, 3), np.uint8))


# photographs


def png(width: int, height: int) -> bytes:
    """A PNG file of one grey level; small however large it is."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer, rows = zlib.compressobj(1), io.BytesIO()
    row = bytes((width + 7) // 8 + 1)
    for _ in range(height):
        rows.write(packer.compress(row))
    rows.write(packer.flush())
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", rows.getvalue()) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.skipif(sys.platform == "win32", reason="needs the peak of memory")
def test_a_huge_picture_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png(30_000, 30_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SourceError, match="30000 x 30000 pixels, more than 200 million") as caught:
        load_picture(path, "huge.png")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    assert "\n" not in str(caught.value)
    assert MOST_PIXELS == 200_000_000


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("png", []),
        ("jpg", []),
        ("jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        ("webp", [cv2.IMWRITE_WEBP_QUALITY, 80]),
        ("webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
        ("bmp", []),
        ("tiff", []),
        ("ppm", []),
        ("gif", []),
    ],
)
def test_a_header_says_how_large_a_picture_is(
    suffix: str, options: list[int], tmp_path: Path
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (34, 57, 3), np.uint8)
    data = cv2.imencode(f".{suffix}", image, options)[1].tobytes()
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(data)
    assert picture_size(path) == (57, 34)
    for end in range(0, min(len(data), 200)):
        path.write_bytes(data[:end])
        assert picture_size(path) in (None, (57, 34))


def test_other_forms_of_headers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    big_tiff = b"MM\0*" + struct.pack(">I", 8) + struct.pack(">H", 2)
    big_tiff += struct.pack(">HHII", 256, 4, 1, 40_000) + struct.pack(
        ">HHIHH", 257, 3, 1, 50_000, 0
    )
    cases = [
        (big_tiff, (40_000, 50_000)),
        (b"RIFF....WEBPVP8X" + bytes(8) + b"\xff\xff\x00\x0f\x00\x00", (65_536, 16)),
        (b"BM" + bytes(12) + struct.pack("<IHH", 12, 5, 7), (5, 7)),
        (b"BM" + bytes(12) + struct.pack("<Iii", 40, 5, -7), (5, 7)),
        (b"P5\n# a remark\n70000 80000\n255\n", (70_000, 80_000)),
        (b"", None),
    ]
    for data, size in cases:
        path.write_bytes(data)
        assert picture_size(path) == size
