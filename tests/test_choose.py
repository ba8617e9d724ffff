from collections.abc import Collection
from typing import Any

import pytest

from detectors import make_detector
from engines import choose
from engines.choose import Machine, Way, choose_precision, first_that_works, require, ways
from errors import EngineError
from estimators import make_estimator

ON_GPU = [Way("tensorflow", "gpu"), Way("onnxruntime", "gpu")]


def machine(
    gpu: bool = True,
    usable: Collection[str] = ("tensorflow", "onnxruntime"),
    packages: Collection[str] = choose.ENGINES,
) -> Machine:
    """A machine that has this."""
    return Machine(lambda: gpu, usable.__contains__, packages.__contains__)


def test_without_a_gpu_the_processor_is_taken() -> None:
    here = machine(gpu=False)
    assert ways("auto", "auto", machine=here) == [Way("openvino", "cpu")]
    assert ways("tensorflow", "auto", machine=here) == [Way("tensorflow", "cpu")]


def test_a_gpu_comes_first_and_the_processor_is_what_it_falls_back_on() -> None:
    here = machine()
    assert ways("auto", "auto", machine=here) == [*ON_GPU, Way("openvino", "cpu")]
    assert ways("onnxruntime", "auto", machine=here) == [ON_GPU[1], Way("onnxruntime", "cpu")]
    assert ways("auto", "gpu", machine=here) == ON_GPU
    assert ways("auto", "cpu", machine=here) == [Way("openvino", "cpu")]


def test_an_engine_without_cuda_or_without_a_file_to_read_is_left_out() -> None:
    assert ways("auto", "gpu", machine=machine(usable=("onnxruntime",))) == ON_GPU[1:]
    assert ways("auto", "gpu", ["onnx"], machine()) == ON_GPU[1:]


def test_onnx_runtime_stands_in_where_openvino_is_not_installed() -> None:
    here = machine(gpu=False, packages=("onnxruntime",))
    assert ways("auto", "cpu", machine=here) == [Way("onnxruntime", "cpu")]


@pytest.mark.parametrize(
    ("engine", "there", "said"),
    [
        ("auto", {"gpu": False}, r"no NVIDIA GPU was found; .* --device cpu"),
        ("openvino", {}, r"openvino runs on the CPU only; .* --device cpu"),
        ("auto", {"usable": ()}, r"pip install '\.\[gpu\]', or use --device cpu"),
        ("onnxruntime", {"usable": ()}, r"pip install '\.\[gpu-onnxruntime\]'"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_refused_in_one_line_with_the_remedy(
    engine: str, there: dict[str, Any], said: str
) -> None:
    with pytest.raises(EngineError, match=said) as caught:
        ways(engine, "gpu", machine=machine(**there))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(choose.has_gpu(), reason="there is a GPU here")
def test_estimators_and_detectors_refuse_a_gpu_that_is_not_there() -> None:
    for make in (
        lambda: make_detector("mtcnn", device="gpu"),
        lambda: make_estimator("ssrnet", device="gpu"),
    ):
        with pytest.raises(EngineError, match="no NVIDIA GPU was found"):
            make()


def test_dlib_refuses_a_gpu() -> None:
    with pytest.raises(EngineError, match="dlib runs on the CPU only"):
        make_detector("dlib", device="gpu")


@pytest.mark.parametrize(
    ("engine", "install"),
    [
        ("openvino", r"pip install -r requirements-live\.txt"),
        ("onnxruntime", "pip install onnxruntime"),
        ("tensorflow", r"pip install '\.\[train\]'"),
    ],
)
def test_an_engine_that_is_not_installed_names_the_remedy(engine: str, install: str) -> None:
    with pytest.raises(EngineError, match=install):
        require(Way(engine, "cpu"), machine(gpu=False, packages=()))


def test_unknown_devices_and_precisions_list_the_known_ones() -> None:
    for make in (make_detector, make_estimator):
        name = "mtcnn" if make is make_detector else "ssrnet"
        with pytest.raises(ValueError, match="auto, cpu, gpu, got 'tpu'"):
            make(name, device="tpu")
        with pytest.raises(ValueError, match="float16, int8, got 'int4'"):
            make(name, precision="int4")


def test_what_fails_on_the_gpu_is_tried_on_the_processor(caplog: pytest.LogCaptureFixture) -> None:
    def build(way: Way) -> Way:
        if way.device == "gpu":
            raise EngineError("libcudnn is missing")
        return way

    assert first_that_works([*ON_GPU, choose.ON_CPU], build) == choose.ON_CPU
    assert caplog.text.count("libcudnn is missing; trying the next engine") == 2
    with pytest.raises(EngineError):
        first_that_works(ON_GPU, build)


def test_a_package_within_one_that_is_not_there_is_not_installed() -> None:
    assert choose.installed("numpy.linalg")
    assert not choose.installed("numpy.nonsense")
    assert not choose.installed("nonsense.within")


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_a_precision_that_the_engine_has_not_is_refused(device: str) -> None:
    with pytest.raises(EngineError, match=r"--precision float32$|--precision float32 or float16$"):
        choose_precision(Way("tensorflow", device), "int8")
    with pytest.raises(ValueError, match="got 'int4'"):
        make_estimator("mobilenetv2", precision="int4")


def test_only_gpus_compute_in_half_precision_by_themselves() -> None:
    assert choose_precision(Way("tensorflow", "gpu"), "auto") == "float16"
    for way in (choose.ON_CPU, Way("tensorflow", "cpu"), Way("onnxruntime", "gpu")):
        assert choose_precision(way, "auto") == "float32"
