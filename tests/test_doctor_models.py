import shutil
from importlib import metadata
from pathlib import Path
from typing import Never

import pytest

from doctor import media, models
from doctor.report import Level
from engines.choose import Way
from estimators.weights import read_manifest
from structures import Frame
from tests.fakes import grey
from tests.findings import ROOT, SAMPLE, only, options, write_files


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A copy of the folder of weights."""
    folder = tmp_path / "weights"
    shutil.copytree(ROOT / "weights", folder)
    return folder


def test_weights_as_shipped_are_good_and_damage_is_found(shipped: Path) -> None:
    entries = read_manifest()["models"].values()
    count = sum(len(entry["files"]) for entry in entries)
    assert only(models.weights(options(), shipped)).text.startswith(f"{count} files as shipped")
    with (shipped / "dlibresnet_fairface.onnx").open("r+b") as file:
        file.write(b"?")
    (shipped / "ssrnet_fairface.keras").unlink()
    found = list(models.weights(options(), shipped))
    assert "dlibresnet_fairface.onnx is damaged" in only(found, Level.PROBLEM).text
    assert "ssrnet_fairface.keras cannot be read" in only(found, Level.WARNING).text


def test_weights_that_there_are_not_are_told() -> None:
    found = only(models.weights(options(weights="nonsense")))
    assert found.level == "problem" and "nonsense" in found.text


def installed(tmp_path: Path, package: str, names: list[str]) -> metadata.Distribution:
    """A package as an installer leaves it."""
    folder = tmp_path / f"{package}-1.0.dist-info"
    record = {f"{package}-1.0.dist-info/METADATA": "Name: x\nVersion: 1.0\n"}
    write_files(tmp_path, record | dict.fromkeys(names, "weights"))
    digest = "hqU4Qd5Dyx2-L9oZ0r9Dn9pkP9ysU1EwJ4xqMSY_s6E"
    rows = [f"{name},sha256={digest},7" for name in names]
    (folder / "RECORD").write_text("\n".join(rows))
    return metadata.Distribution.at(folder)


def test_damaged_weights_of_a_package_are_found(tmp_path: Path) -> None:
    names = ["mtcnn/pnet.lz4", "mtcnn/rnet.lz4"]
    package = installed(tmp_path, "mtcnn", names)
    (tmp_path / names[1]).unlink()
    found = list(models.package_files(["mtcnn"], lambda name: package))
    texts = [f.text for f in found if f.item == "mtcnn"]
    assert texts[0] == "pnet.lz4 is damaged" and texts[1].startswith("rnet.lz4 cannot be read")
    assert {f.level for f in found if f.item == "dlib"} == {"warning"}


def test_weights_of_packages_are_checked_against_their_records() -> None:
    assert [(f.item, f.level) for f in models.package_files(["mtcnn"])] == [
        ("mtcnn", "ok"),
        ("dlib", "ok"),
        ("--remember", "ok"),
    ]


def test_a_package_of_weights_is_missed_by_what_needs_it() -> None:
    def none(name: str) -> Never:
        raise metadata.PackageNotFoundError(name)

    found = {f.item: f.level for f in models.package_files(["dlib", "--remember"], none)}
    assert found == {"mtcnn": "warning", "dlib": "problem", "--remember": "problem"}


def test_an_engine_must_be_installed_only_where_it_is_asked_for() -> None:
    def version_of(package: str) -> str:
        if package.startswith("tensorflow"):
            raise metadata.PackageNotFoundError(package)
        return "1.2"

    found = only(models.engines(options(), version_of))
    assert "openvino 1.2" in found.text and "tensorflow is not installed" in found.text
    assert only(models.engines(options(engine="tensorflow"), version_of), Level.PROBLEM)


@pytest.mark.parametrize(
    ("answer", "device", "level", "said"),
    [
        (None, "cpu", "ok", "no NVIDIA driver"),
        ("", "cpu", "warning", "does not answer"),
        ("H100, 81559 MiB, 550.1\n", "gpu", "ok", "H100, 81559 MiB, 550.1; --engine auto"),
        ("H100, 81559 MiB, 550.1\n", "cpu", "warning", "no engine here uses it"),
    ],
)
def test_a_gpu_is_reported_with_the_engine_that_would_use_it(
    answer: str | None, device: str, level: str, said: str
) -> None:
    found = only(models.gpu(options(), lambda: answer, lambda _: Way("tensorflow", device)))
    assert found.level == level and said in found.text


def test_the_networks_are_tried_on_a_picture() -> None:
    found = only(models.described_sample(options(), lambda: media.frame_of(str(SAMPLE), 50)))
    assert found.level == "ok" and found.text.startswith("1 in the sample's picture")
    empty = only(models.described_sample(options(), lambda: Frame(grey(9), 0, 0.0)))
    assert empty.level == "problem"
