import time
from pathlib import Path

import pytest

from doctor import machine
from doctor.report import Level
from tests.findings import only, write_files

GIB_KB = 2**20


@pytest.mark.parametrize(
    ("version", "level"),
    [((3, 10, 9), "problem"), ((3, 11, 0), "ok"), ((3, 13, 5), "ok"), ((3, 14, 0), "warning")],
)
def test_the_version_of_python_is_judged(version: tuple[int, ...], level: str) -> None:
    assert only(machine.python(version)).level == level


def pyproject(folder: Path, *dependencies: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(f"[project]\ndependencies = {list(dependencies)}\n")
    return path


def test_missing_different_and_broken_packages_are_named_with_remedies(tmp_path: Path) -> None:
    pins = pyproject(
        tmp_path, "numpy==2.0", "opencv-python==4.1", "av==18", "mtcnn==1.0.0", "old==1"
    )
    versions = {"numpy": "2.0", "opencv-python": "4.1", "mtcnn": "1.0.0", "old": "2"}
    loaded: list[str] = []

    def load(module: str) -> None:
        loaded.append(module)
        if module == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")

    found = list(machine.packages(("spare",), pins, versions.get, load))
    assert [(f.level, f.text.split()[0]) for f in found] == [
        ("problem", "opencv-python"),
        ("problem", "av"),
        ("warning", "old"),
        ("ok", "2"),
    ]
    assert "libgl1" in found[0].remedy and "requirements-live.txt" in found[1].remedy
    assert loaded == ["numpy", "cv2", "old"]  # what holds weights only is not imported


def test_a_package_that_is_not_needed_may_be_missing(tmp_path: Path) -> None:
    pins = pyproject(tmp_path, "dlib-bin==20")
    found = machine.packages(("dlib-bin",), pins, lambda name: None, pytest.fail)
    assert only(found, Level.WARNING).text == "dlib-bin is not installed"


V2, V1 = "sys/fs/cgroup/", "sys/fs/cgroup/cpu/cpu.cfs_"


@pytest.mark.parametrize(
    ("contents", "threads", "level", "said"),
    [
        ({}, 0, "ok", "cores may be used"),
        ({V2 + "cpu.max": "max 100000\n"}, 0, "ok", "cores may be used"),
        ({V2 + "cpu.max": "50000 100000\n"}, 0, "warning", "only 0.5 at a time"),
        ({V2 + "cpu.max": "50000 100000\n"}, 1, "ok", "1 threads were asked for"),
        ({V1 + "quota_us": "-1\n", V1 + "period_us": "100000\n"}, 0, "ok", "cores"),
        ({V1 + "quota_us": "50000\n", V1 + "period_us": "100000\n"}, 0, "warning", "only 0.5"),
        (
            {"proc/self/cgroup": "0::/a/b\n", V2 + "a/cpu.max": "20000 100000\n"},
            0,
            "warning",
            "only 0.2 at a time",
        ),
    ],
)
def test_limits_of_control_groups_on_processors_are_heeded(
    contents: dict[str, str], threads: int, level: str, said: str, tmp_path: Path
) -> None:
    write_files(tmp_path, contents)
    found = only(machine.processors(threads, tmp_path))
    assert found.level == level and said in found.text
    if level == "warning":
        assert "--threads 1" in found.remedy


def test_memory_is_what_the_control_group_leaves(tmp_path: Path) -> None:
    write_files(
        tmp_path, {"proc/meminfo": f"MemTotal: {8 * GIB_KB} kB\nMemAvailable: {6 * GIB_KB} kB\n"}
    )
    assert only(machine.memory(tmp_path)).text == "6.0 of 8.0 GiB are free"
    limited = {V2 + "memory.max": str(2 * 2**30), V2 + "memory.current": str(3 * 2**29)}
    write_files(tmp_path, limited)
    found = only(machine.memory(tmp_path))
    assert (found.level, found.text) == ("warning", "0.5 of 2.0 GiB are free")


def test_where_memory_is_not_stated_nothing_is_said(tmp_path: Path) -> None:
    assert list(machine.memory(tmp_path)) == []


def test_a_full_disk_and_a_folder_that_cannot_be_written_to_are_told(tmp_path: Path) -> None:
    full = machine.disk([tmp_path], lambda folder: (2**40, 2**40, 2**20))
    assert "0.0 GiB are free" in only(full, Level.WARNING).text
    assert only(machine.disk([tmp_path / "none"]), Level.WARNING).text.endswith(
        "No such file or directory"
    )
    assert only(machine.disk([tmp_path], lambda folder: (2**40, 0, 2**40))).level == "ok"


def test_a_clock_that_was_never_set_is_told() -> None:
    assert only(machine.clock(time.localtime(0))).level == "warning"
    assert only(machine.clock()).level == "ok"
