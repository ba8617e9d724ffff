import pytest

from detectors import make_detector
from engines import choose as devices
from engines.choose import Way, first_that_works, ways
from errors import EngineError
from estimators import make_estimator

ON_GPU = [Way("tensorflow", "gpu"), Way("onnxruntime", "gpu")]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Says what the machine has: `machine(gpu=..., usable=..., packages=...)`."""

    def has(gpu=True, usable=("tensorflow", "onnxruntime"), packages=devices.ENGINES) -> None:
        monkeypatch.setattr(devices, "has_gpu", lambda: gpu)
        monkeypatch.setattr(devices, "_can_use_gpu", lambda engine: engine in usable)
        monkeypatch.setattr(devices, "installed", lambda package: package in packages)

    return has


def test_without_a_gpu_the_processor_is_taken(machine) -> None:
    machine(gpu=False)
    assert ways("auto", "auto") == [Way("openvino", "cpu")]
    assert ways("tensorflow", "auto") == [Way("tensorflow", "cpu")]


def test_a_gpu_comes_first_and_the_processor_is_what_it_falls_back_on(machine) -> None:
    machine()
    assert ways("auto", "auto") == [*ON_GPU, Way("openvino", "cpu")]
    assert ways("onnxruntime", "auto") == [ON_GPU[1], Way("onnxruntime", "cpu")]
    assert ways("auto", "gpu") == ON_GPU
    assert ways("auto", "cpu") == [Way("openvino", "cpu")]


def test_an_engine_without_cuda_or_without_a_file_to_read_is_left_out(machine) -> None:
    machine(usable=("onnxruntime",))
    assert ways("auto", "gpu") == ON_GPU[1:]
    machine()
    assert ways("auto", "gpu", formats=["onnx"]) == ON_GPU[1:]


def test_onnx_runtime_stands_in_where_openvino_is_not_installed(machine) -> None:
    machine(gpu=False, packages=("onnxruntime",))
    assert ways("auto", "cpu") == [Way("onnxruntime", "cpu")]


@pytest.mark.parametrize(
    ("engine", "there", "said"),
    [
        ("auto", {"gpu": False}, r"no NVIDIA GPU was found; .* --device cpu"),
        ("openvino", {}, r"openvino runs on the CPU only; .* --device cpu"),
        ("auto", {"usable": ()}, r"pip install -r requirements-gpu\.txt, or use --device cpu"),
        ("onnxruntime", {"usable": ()}, r"pip install -r requirements-gpu-onnxruntime\.txt"),
    ],
)
def test_a_gpu_that_cannot_be_had_is_refused_in_one_line_with_the_remedy(
    machine, engine: str, there, said: str
) -> None:
    machine(**there)
    with pytest.raises(EngineError, match=said) as caught:
        make_estimator("mobilenetv2", engine=engine, device="gpu")
    assert "\n" not in str(caught.value)


def test_detectors_refuse_a_gpu_that_cannot_be_had(machine) -> None:
    machine(gpu=False)
    with pytest.raises(EngineError, match="no NVIDIA GPU was found"):
        make_detector("mtcnn", device="gpu")
    with pytest.raises(EngineError, match="dlib runs on the CPU only"):
        make_detector("dlib", device="gpu")


@pytest.mark.parametrize(
    ("engine", "install"),
    [
        ("openvino", r"pip install -r requirements-live\.txt"),
        ("onnxruntime", "pip install onnxruntime"),
        ("tensorflow", r"pip install -r requirements\.txt"),
    ],
)
def test_an_engine_that_is_not_installed_names_the_remedy(
    machine, engine: str, install: str
) -> None:
    machine(gpu=False, packages=())
    with pytest.raises(EngineError, match=install):
        make_estimator("mobilenetv2", engine=engine)


def test_unknown_devices_and_precisions_list_the_known_ones() -> None:
    for make in (make_detector, make_estimator):
        name = "mtcnn" if make is make_detector else "ssrnet"
        with pytest.raises(ValueError, match="auto, cpu, gpu, got 'tpu'"):
            make(name, device="tpu")
        with pytest.raises(ValueError, match="float16, int8, got 'int4'"):
            make(name, precision="int4")


def test_what_fails_on_the_gpu_is_tried_on_the_processor(caplog: pytest.LogCaptureFixture) -> None:
    def build(way):
        if way.device == "gpu":
            raise EngineError("libcudnn is missing")
        return way

    assert first_that_works([*ON_GPU, devices.ON_CPU], build) == devices.ON_CPU
    assert caplog.text.count("libcudnn is missing; trying the next engine") == 2
    with pytest.raises(EngineError):
        first_that_works(ON_GPU, build)


def test_a_package_within_one_that_is_not_there_is_not_installed() -> None:
    assert devices.installed("numpy.linalg")
    assert not devices.installed("numpy.nonsense")
    assert not devices.installed("nonsense.within")
