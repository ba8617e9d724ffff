"""The report on what works here: each thing that may be wrong, by stand-ins."""

import argparse
import io
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from importlib import metadata
from pathlib import Path
from typing import Never

import pytest

from doctor import machine, main_report, media, models, network, run
from doctor.__main__ import main as doctor_program
from doctor.report import Check, Level, lines, of_error, ok, problem, tell, warning
from engines.choose import Way
from errors import SourceError, WeightsError
from estimators.weights import read_manifest
from sources.decoding import Video, open_video
from structures import Frame
from tests.clips import endless, numbered, write_clip
from tests.fakes import ScriptedCamera, grey

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "samples" / "sample.mp4"
SAFETY_S = 10.0  # only ever reached by a test that fails
GIB_KB = 2**20


def options(**changes):
    given = {
        "src": ["sample"], "json": False, "no_window": True, "stills": ".",
        "output": None, "events": None, "people": None, "threads": 0,
        "detector": "mtcnn",
        "estimator": "mobilenetv2", "weights": None, "engine": "auto", "device": "auto",
    } | changes  # fmt: skip
    return argparse.Namespace(**given)


def only(findings, level=None):
    """The one finding (of a level) that there is."""
    (found,) = [each for each in findings if level in (None, each.level)]
    assert bool(found.remedy) == (found.level is not Level.OK)
    return found


# how findings are told


class Terminal(io.StringIO):
    encoding = "ascii"

    def isatty(self) -> bool:
        return True


def test_a_finding_is_laid_out_for_80_columns_with_its_remedy_below() -> None:
    told = lines(problem("weights", "word " * 40, "remedy " * 20), 80, colour=False)
    assert all(len(line) <= 80 for line in told)
    assert told[0].startswith("problem  weights ")
    assert sum("->" in line for line in told) == 1
    assert " ".join(" ".join(told).split()).count("word") == 40


def test_only_a_terminal_gets_colours_and_no_color_is_respected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [ok("a", "fine")]
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain, terminal = io.StringIO(), Terminal()
    assert tell(found, plain, 80) == tell(found, terminal, 80) == 0
    assert "\x1b" not in plain.getvalue() and "\x1b[32m" in terminal.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    quiet = Terminal()
    tell(found, quiet, 80)
    assert "\x1b" not in quiet.getvalue()


def test_what_the_terminal_cannot_show_is_escaped() -> None:
    out = Terminal()
    tell([ok("disk", "/home/zoë may be written to")], out, 80)
    assert r"zo\xeb" in out.getvalue()


@pytest.mark.parametrize(
    ("found", "code", "last"),
    [
        ([], 0, "ready to run, no warnings"),
        ([warning("a", "b", "c")], 0, "ready to run, 1 warning"),
        (
            [warning("a", "b", "c"), problem("a", "b", "c"), problem("a", "b", "c")],
            2,
            "2 problems: the program cannot run like this",
        ),
    ],
)
def test_the_last_line_sums_up_and_the_exit_code_agrees(found, code: int, last: str) -> None:
    out = io.StringIO()
    assert tell(found, out, 80) == code
    assert out.getvalue().splitlines()[-1] == last


def test_a_password_is_never_told() -> None:
    out = io.StringIO()
    address = "rtsp://joe:p@ss:w/rd@cam/live"
    tell([problem("stream", f"{address} is bad", f"try {address}")], out, 200)
    assert "joe" not in out.getvalue() and "w/rd" not in out.getvalue()


def test_our_own_errors_are_parted_into_cause_and_remedy() -> None:
    found = of_error("weights", True, WeightsError("a.onnx is damaged; restore it"))
    assert (found.text, found.remedy) == ("a.onnx is damaged", "restore it")


# checks that hang, fail, or take turns


def test_a_check_that_hangs_is_named_and_what_it_said_before_is_kept() -> None:
    release = threading.Event()

    def hang():
        yield ok("stuck", "first step")
        release.wait(SAFETY_S)

    checks = [
        Check("stuck", hang),
        Check("optional", hang, needed=False),
        Check("quick", lambda: iter([ok("quick", "fine")])),
    ]
    found = list(run(checks, 0.2))
    release.set()
    assert [(f.item, f.level) for f in found] == [
        ("stuck", "ok"),
        ("stuck", "problem"),
        ("stuck", "ok"),
        ("optional", "warning"),
        ("quick", "ok"),
    ]


def test_a_check_that_fails_does_not_keep_the_others_from_being_told() -> None:
    def fail():
        raise OSError("the driver is upset")
        yield

    found = list(run([Check("gpu", fail, needed=False), Check("b", lambda: iter([]))], SAFETY_S))
    assert "the driver is upset" in only(found, Level.WARNING).text


def test_the_checks_run_beside_each_other() -> None:
    meeting = threading.Barrier(3, timeout=SAFETY_S)

    def meet():
        meeting.wait()
        yield ok("met", "")

    assert [f.text for f in run([Check("met", meet)] * 3, SAFETY_S)] == [""] * 3


# the machine


@pytest.mark.parametrize(
    ("version", "level"),
    [((3, 10, 9), "problem"), ((3, 11, 0), "ok"), ((3, 13, 5), "ok"), ((3, 14, 0), "warning")],
)
def test_the_version_of_python_is_judged(version, level: str) -> None:
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
    loaded = []

    def load(module) -> None:
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


def files(root, contents) -> None:
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


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
    contents, threads: int, level: str, said: str, tmp_path: Path
) -> None:
    files(tmp_path, contents)
    found = only(machine.processors(threads, tmp_path))
    assert found.level == level and said in found.text
    if level == "warning":
        assert "--threads 1" in found.remedy


def test_memory_is_what_the_control_group_leaves(tmp_path: Path) -> None:
    files(tmp_path, {"proc/meminfo": f"MemTotal: {8 * GIB_KB} kB\nMemAvailable: {6 * GIB_KB} kB\n"})
    assert only(machine.memory(tmp_path)).text == "6.0 of 8.0 GiB are free"
    limited = {V2 + "memory.max": str(2 * 2**30), V2 + "memory.current": str(3 * 2**29)}
    files(tmp_path, limited)
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


# display, codecs, cameras, files


def test_a_missing_display_is_a_warning_and_none_is_needed_without_a_window() -> None:
    found = only(media.display(True, lambda: "there is no display: use --no-window"))
    assert (found.level, found.remedy) == ("warning", "use --no-window")
    assert only(media.display(True, lambda: None)).level == "ok"
    assert only(media.display(False, pytest.fail)).level == "ok"


def test_codecs_are_tried() -> None:
    assert [(f.item, f.level) for f in media.codecs(SAMPLE)] == [
        ("decoding", "ok"),
        ("recording", "ok"),
    ]


def test_a_damaged_sample_is_told(tmp_path: Path) -> None:
    damaged = tmp_path / "sample.mp4"
    damaged.write_text("text " * 100)
    assert only(media.codecs(damaged)).level == "problem"


@pytest.fixture
def two_cameras(tmp_path: Path):
    """The paths of a camera of two nodes, the second of which gives no pictures, and another."""
    nodes = {"video0": "0", "video1": "1", "video2": "0"}
    for name, index in nodes.items():
        files(tmp_path, {f"dev/{name}": "", f"sys/{name}/name": "HD Cam\n"})
        files(tmp_path, {f"sys/{name}/index": f"{index}\n"})
    files(tmp_path, {"dev/videos": ""})
    return tmp_path / "dev", tmp_path / "sys"


def test_each_camera_is_tried_and_only_the_one_asked_for_must_work(two_cameras) -> None:
    asked = []

    def open_camera(index):
        asked.append(index)
        works = index == 0
        return ScriptedCamera(endless(numbered(3, (80, 60))) if works else [], opens=works)

    found = list(media.cameras(0, open_camera, *two_cameras))
    assert asked == [0, 2]
    assert [f.level for f in found] == ["ok", "warning"]
    assert found[0].text.startswith("0 (HD Cam): 80x60 at 30 fps")
    assert [f.level for f in media.cameras(2, open_camera, *two_cameras)] == ["ok", "problem"]
    assert [f.level for f in media.cameras(None, open_camera, *two_cameras)] == ["ok", "warning"]


def test_a_camera_that_gives_no_picture_is_told(
    two_cameras, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sources.webcam.OPEN_S", 0.05)
    found = list(media.cameras(0, lambda index: ScriptedCamera([]), *two_cameras))
    assert found[0].level == "problem" and "camera 0" in found[0].text


def test_a_camera_that_is_not_there_is_told_with_those_that_are(two_cameras) -> None:
    def open_camera(index):
        return ScriptedCamera(endless(numbered(3)))

    found = only(media.cameras(7, open_camera, *two_cameras), Level.PROBLEM)
    assert "0, 1, 2" in found.remedy


@pytest.mark.parametrize(("asked", "level"), [(None, "ok"), (0, "warning"), (3, "problem")])
def test_no_camera_at_all_matters_as_far_as_one_was_asked_for(
    asked: int | None, level: str, tmp_path: Path
) -> None:
    assert only(media.cameras(asked, pytest.fail, tmp_path, tmp_path)).level == level


def test_a_file_is_tried() -> None:
    assert "960x540" in only(media.media_file(str(SAMPLE))).text
    missing = only(media.media_file("nowhere.mp4"))
    assert (missing.level, missing.remedy) == ("problem", "check the path")


def test_outputs_are_tried_where_they_would_go(tmp_path: Path) -> None:
    asked = options(output=str(tmp_path / "a.mp4"), people=str(tmp_path / "no/b.csv"), events="-")
    found = list(media.outputs(asked, ["0"]))
    assert [f.level for f in found] == ["ok", "problem"]
    assert list(tmp_path.iterdir()) == []


# models


@pytest.fixture
def shipped(tmp_path: Path):
    """A copy of the folder of weights."""
    folder = tmp_path / "weights"
    shutil.copytree(ROOT / "weights", folder)
    return folder


def test_weights_as_shipped_are_good_and_damage_is_found(shipped) -> None:
    entries = read_manifest()["models"].values()
    count = sum(len(entry["files"]) for entry in entries)
    assert only(models.weights(options(), shipped)).text.startswith(f"{count} files as shipped")
    with (shipped / "mobilenetv2_fairface.onnx").open("r+b") as file:
        file.write(b"?")
    (shipped / "ssrnet_fairface.keras").unlink()
    found = list(models.weights(options(), shipped))
    assert "mobilenetv2_fairface.onnx is damaged" in only(found, Level.PROBLEM).text
    assert "ssrnet_fairface.keras cannot be read" in only(found, Level.WARNING).text


def test_weights_that_there_are_not_are_told() -> None:
    found = only(models.weights(options(weights="nonsense")))
    assert found.level == "problem" and "nonsense" in found.text


def installed(tmp_path: Path, package, names):
    """A package as an installer leaves it."""
    folder = tmp_path / f"{package}-1.0.dist-info"
    record = {f"{package}-1.0.dist-info/METADATA": "Name: x\nVersion: 1.0\n"}
    files(tmp_path, record | dict.fromkeys(names, "weights"))
    digest = "hqU4Qd5Dyx2-L9oZ0r9Dn9pkP9ysU1EwJ4xqMSY_s6E"
    rows = [f"{name},sha256={digest},7" for name in names]
    (folder / "RECORD").write_text("\n".join(rows))
    return metadata.Distribution.at(folder)


def test_damaged_weights_of_a_package_are_found(tmp_path: Path) -> None:
    names = ["mtcnn/pnet.lz4", "mtcnn/rnet.lz4"]
    package = installed(tmp_path, "mtcnn", names)
    stated = models._damage(next(f for f in package.files if f.name == "pnet.lz4"))
    assert stated == "is damaged"  # not the digest of these files
    (tmp_path / names[1]).unlink()
    found = list(models.package_files("mtcnn", lambda name: package))
    told = [f.text for f in found if f.item == "mtcnn"]
    assert told[0] == "pnet.lz4 is damaged" and told[1].startswith("rnet.lz4 cannot be read")
    assert {f.level for f in found if f.item == "dlib"} == {"warning"}


def test_weights_of_packages_are_checked_against_their_records() -> None:
    assert [(f.item, f.level) for f in models.package_files("mtcnn")] == [
        ("mtcnn", "ok"),
        ("dlib", "ok"),
    ]


def test_a_package_of_weights_is_missed_by_the_detector_that_needs_it() -> None:
    def none(name) -> Never:
        raise metadata.PackageNotFoundError(name)

    found = {f.item: f.level for f in models.package_files("dlib", none)}
    assert found == {"mtcnn": "warning", "dlib": "problem"}


def test_an_engine_must_be_installed_only_where_it_is_asked_for() -> None:
    def version_of(package) -> str:
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
def test_a_gpu_is_told_with_the_engine_that_would_use_it(
    answer: str | None, device: str, level: str, said: str
) -> None:
    found = only(models.gpu(options(), lambda: answer, lambda _: Way("tensorflow", device)))
    assert found.level == level and said in found.text


def test_the_networks_are_tried_on_a_picture() -> None:
    found = only(models.one_look(options(), lambda: media.picture_of(str(SAMPLE), 50)))
    assert found.level == "ok" and found.text.startswith("1 in the sample's picture")
    empty = only(models.one_look(options(), lambda: Frame(grey(9), 0, 0.0)))
    assert empty.level == "problem"


# an address, step by step


@pytest.fixture
def listener():
    """A port of this machine at which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


class Endless(Video):
    """A file in the part of a camera's stream."""

    has_end = False


@pytest.fixture
def camera(tmp_path: Path):
    """Opens a stream with a key frame in every fifth picture."""
    clip = write_clip(tmp_path / "clip.ts", numbered(20), settings={"g": "5", "bf": "0"})

    def open_it(address, name, **_):
        video = open_video(str(clip), name)
        return Endless(video.container, video.stream, name)

    return open_it


def test_a_camera_that_works_is_told_step_by_step(listener, camera) -> None:
    found = list(network.address(f"rtsp://joe:p@ss@127.0.0.1:{listener}/live", camera))
    assert [f.item for f in found] == ["host", "port", "stream", "picture", "key frames"]
    assert {f.level for f in found} == {"ok"}
    assert "user and password are accepted" in found[2].text and "25 fps" in found[2].text
    assert found[3].text.startswith("64x48") and found[4].text == "every 0.2 s"
    assert not any("p@ss" in f.text or "joe" in f.text for f in found)


def test_rare_key_frames_are_a_warning() -> None:
    assert network._key_frames([1.0]).level == "warning"
    assert network._key_frames([1.0, 11.0]).level == "warning"
    assert network._key_frames([1.0, 3.0]).text == "every 2.0 s"


@pytest.mark.parametrize("why", ["refuses the user name or password", "nothing at this path"])
def test_what_the_server_refuses_is_told(why: str, listener) -> None:
    def open_it(address, name, **_) -> Never:
        raise SourceError(f"{name} {why}; check it")

    found = list(network.address(f"rtsp://joe:s3cret@127.0.0.1:{listener}/live", open_it))
    assert [f.item for f in found] == ["host", "port", "stream"]
    assert why in found[-1].text and found[-1].remedy == "check it"
    assert "s3cret" not in found[-1].text


def test_a_stream_without_pictures_is_told(listener, camera) -> None:
    def at_its_end(*arguments, **_):
        video = camera(*arguments)
        deque(video.container.demux(video.stream), maxlen=0)
        return video

    found = list(network.address(f"rtsp://127.0.0.1:{listener}/live", at_its_end))
    assert (found[-1].item, found[-1].level) == ("picture", "problem")


def test_where_nothing_listens_no_stream_is_tried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = list(network.address(f"rtsp://127.0.0.1:{port}/live", pytest.fail))
    assert [f.item for f in found] == ["host", "port"]
    assert "nothing listens" in found[-1].text and found[-1].level == "problem"


def test_an_unknown_host_is_told() -> None:
    found = only(network.address("rtsp://joe:s3cret@no-such-host.invalid/live", pytest.fail))
    assert found.item == "host" and found.level == "problem"


@pytest.mark.parametrize("text", ["rtsp://", "rtsp://joe:s3cret@host:99999/x", "rtsp://:554/a"])
def test_an_address_without_host_or_with_a_bad_port_is_told(text: str) -> None:
    found = only(network.address(text, pytest.fail))
    assert found.level == "problem" and "s3cret" not in found.text


def test_an_address_without_a_port_of_tcp_goes_straight_to_the_stream(camera) -> None:
    found = list(network.address("udp://127.0.0.1/live", camera))
    assert [f.item for f in found][:2] == ["host", "stream"]


# all of it


def test_the_whole_report_finds_this_machine_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("doctor.LIMIT_S", 6 * SAFETY_S)
    out = io.StringIO()
    assert main_report(options(json=True), out) == 0
    told = json.loads(out.getvalue())
    assert told["ready"] is True
    items = {finding["item"] for finding in told["findings"]}
    assert {"python", "packages", "weights", "faces", "recording", "source", "clock"} <= items


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m doctor --src sample | head -1"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("ok       python") and done.stderr == ""


def test_without_the_packages_the_report_says_so_and_ends(tmp_path: Path) -> None:
    files(tmp_path, {"cv2.py": "raise ImportError('libGL.so.1: no such file')\n"})
    command = [sys.executable, "-m", "doctor"]
    environment = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and done.stderr == ""
    assert "opencv-python does not load: libGL.so.1" in done.stdout
    assert "apt-get install libgl1" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_the_report_imports_tensorflow_and_dlib_only_where_they_are_asked_for() -> None:
    code = (
        "import sys; sys.argv = ['doctor', '--src', 'sample'];"
        "import doctor; doctor.LIMIT_S = 60;"
        "from doctor.__main__ import main; assert main() == 0;"
        "assert not {'tensorflow', 'keras', 'dlib', '_dlib_pybind11'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_an_address_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("doctor.__main__.main_report", lambda options: asked.extend(options.src))
    monkeypatch.setattr(sys, "argv", ["doctor", "--src", "env:CAMERA", "--src", "env:NONE"])
    monkeypatch.setenv("CAMERA", "rtsp://joe:secret@camera/1")
    monkeypatch.delenv("NONE", raising=False)
    doctor_program()
    assert asked == ["rtsp://joe:secret@camera/1", "env:NONE"]
