"""Options that have no effect say so; packages that are missing are one line."""

import builtins
from pathlib import Path
from typing import Any

import pytest

from benchmarks import common
from program.assemble import Assembly
from program.cameras import Camera, SourceOptions, warn_of_sizes
from program.options import ModelOptions
from stream import main


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (ModelOptions(upsample=1), "--upsample has no effect with --detector mtcnn"),
        (ModelOptions(detector="dlib", min_face=33), "--min-face has no effect"),
        (ModelOptions(), ""),
        (ModelOptions(detector="dlib", upsample=2), ""),
    ],
)
def test_options_of_another_detector_are_named(
    options: ModelOptions, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    Assembly(options)
    assert word in caplog.text
    assert bool(word) == bool(caplog.records)


@pytest.mark.parametrize(
    ("source", "warned"), [("film.mp4", True), ("0", False), ("/dev/video0", False)]
)
def test_a_width_that_no_webcam_gets_is_named(
    source: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_sizes([Camera("a", source, source=SourceOptions(width=640))])
    assert ("--width and --height have no effect" in caplog.text) == warned


def test_a_table_of_people_is_called_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = tmp_path / "a.txt"
    assert main(["--src", "sample", "--no-window", "--people", str(people)]) == 2
    assert "a.txt: the name must end in .csv" in capsys.readouterr().err
    assert not people.exists()


def test_a_benchmark_without_its_packages_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "psutil":
            raise ModuleNotFoundError("No module named 'psutil'", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)

    @common.command("trial", "doc")
    def work(_: Any) -> None:
        import psutil  # noqa: F401

    assert work([]) == 2
    assert capsys.readouterr().err == (
        "trial: No module named 'psutil'; run `pip install -r requirements-dev.txt`\n"
    )
