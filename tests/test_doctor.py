"""The report on what works here: how findings are shown, and all of it together."""

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from doctor import main_report, run
from doctor.__main__ import parse
from doctor.report import Check, Finding, Level, lines, of_error, ok, print_report, problem, warning
from errors import WeightsError
from stream import parse_arguments
from tests.findings import ROOT, SAFETY_S, only, options, write_files


class Terminal(io.StringIO):
    encoding = "ascii"

    def isatty(self) -> bool:
        return True


def test_a_finding_is_laid_out_for_80_columns_with_its_remedy_below() -> None:
    reported = lines(problem("weights", "word " * 40, "remedy " * 20), 80, colour=False)
    assert all(len(line) <= 80 for line in reported)
    assert reported[0].startswith("problem  weights ")
    assert sum("->" in line for line in reported) == 1
    assert " ".join(" ".join(reported).split()).count("word") == 40


def test_only_a_terminal_gets_colours_and_no_color_is_respected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [ok("a", "fine")]
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain, terminal = io.StringIO(), Terminal()
    assert print_report(found, plain, 80) == print_report(found, terminal, 80) == 0
    assert "\x1b" not in plain.getvalue() and "\x1b[32m" in terminal.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    quiet = Terminal()
    print_report(found, quiet, 80)
    assert "\x1b" not in quiet.getvalue()


def test_what_the_terminal_cannot_show_is_escaped() -> None:
    out = Terminal()
    print_report([ok("disk", "/home/zoë may be written to")], out, 80)
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
def test_the_last_line_sums_up_and_the_exit_code_agrees(
    found: list[Finding], code: int, last: str
) -> None:
    out = io.StringIO()
    assert print_report(found, out, 80) == code
    assert out.getvalue().splitlines()[-1] == last


def test_a_password_is_never_told() -> None:
    out = io.StringIO()
    address = "rtsp://joe:p@ss:w/rd@cam/live"
    print_report([problem("stream", f"{address} is bad", f"try {address}")], out, 200)
    assert "joe" not in out.getvalue() and "w/rd" not in out.getvalue()


def test_our_own_errors_are_parted_into_cause_and_remedy() -> None:
    found = of_error("weights", True, WeightsError("a.onnx is damaged; restore it"))
    assert (found.text, found.remedy) == ("a.onnx is damaged", "restore it")


def test_a_check_that_hangs_is_named_and_what_it_said_before_is_kept() -> None:
    release = threading.Event()

    def hang() -> Iterator[Finding]:
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
    def fail() -> Iterator[Finding]:
        raise OSError("the driver is upset")
        yield

    found = list(run([Check("gpu", fail, needed=False), Check("b", lambda: iter([]))], SAFETY_S))
    assert "the driver is upset" in only(found, Level.WARNING).text


def test_the_checks_run_beside_each_other() -> None:
    meeting = threading.Barrier(3, timeout=SAFETY_S)

    def meet() -> Iterator[Finding]:
        meeting.wait()
        yield ok("met", "")

    assert [f.text for f in run([Check("met", meet)] * 3, SAFETY_S)] == [""] * 3


def test_the_whole_report_finds_this_machine_ready() -> None:
    out = io.StringIO()
    assert main_report(options(json=True), out, 6 * SAFETY_S) == 0
    reported = json.loads(out.getvalue())
    assert reported["ready"] is True
    items = {finding["item"] for finding in reported["findings"]}
    assert {"python", "packages", "weights", "faces", "recording", "source", "clock"} <= items


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m doctor --src sample | head -1"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("ok       python") and done.stderr == ""


@pytest.mark.slow
def test_without_the_packages_the_report_says_so_and_ends(tmp_path: Path) -> None:
    write_files(tmp_path, {"cv2.py": "raise ImportError('libGL.so.1: no such file')\n"})
    command = [sys.executable, "-m", "doctor"]
    environment = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and done.stderr == ""
    assert "opencv-python does not load: libGL.so.1" in done.stdout
    assert "apt-get install libgl1" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


@pytest.mark.slow
def test_the_report_imports_tensorflow_and_dlib_only_where_they_are_asked_for() -> None:
    code = (
        "import sys; from doctor import main_report; from doctor.__main__ import parse;"
        "assert main_report(parse(['--src', 'sample']), limit_s=60) == 0;"
        "assert not {'tensorflow', 'keras', 'dlib', '_dlib_pybind11'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_an_address_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA", "rtsp://joe:secret@camera/1")
    monkeypatch.delenv("NONE", raising=False)
    asked = parse(["--src", "env:CAMERA", "--src", "env:NONE"])
    assert asked.src == ["rtsp://joe:secret@camera/1", "env:NONE"]


def test_the_defaults_are_those_of_stream_py() -> None:
    ours, theirs = vars(parse([])), vars(parse_arguments([]))
    assert {"stills", "threads", "estimator", "src"} < set(ours)
    assert ours == {name: theirs[name] for name in ours}
