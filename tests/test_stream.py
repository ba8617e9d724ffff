import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import stream
from errors import SinkError, SourceError
from estimators.weights import find_weights
from outputs.recording.sink import Recording
from predict import encode
from program.assemble import Assembly
from program.cameras import SAMPLE, Camera, SourceOptions, frames_expected
from program.options import ModelOptions, TrackingOptions
from sources import Source
from stream import Factories, parse_arguments
from structures import Float32, Frame, Image
from tests.assemblies import scripted
from tests.fakes import ListSource, ScriptedDetector, failing_source, film
from tests.recordings import write_clicks

ROOT = Path(__file__).resolve().parent.parent


def a_face_in_every_frame() -> ScriptedDetector:
    return ScriptedDetector([[[10.0, 8.0, 40.0, 44.0]]] * 1000)


QUICK = Factories(assembly=scripted(a_face_in_every_frame))


def run_main(*arguments: str, factories: Factories = stream.USUAL) -> int:
    """The exit code of stream.py, however it ends."""
    try:
        return stream.main(list(arguments), factories)
    except SystemExit as end:
        return int(end.code or 0)


def reading(source: Source) -> Factories:
    """Quick stages, and a source in place of whatever is asked for."""
    return replace(QUICK, source=lambda *_, **__: source)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What stands on stderr, which must be one line."""
    text = capsys.readouterr().err
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


def test_the_sample_is_annotated_and_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, events, people = (tmp_path / name for name in ("o.mp4", "o.jsonl", "o.csv"))
    outputs = ["--output", str(video), "--events", str(events), "--people", str(people)]
    assert run_main("--src", "sample", "--no-window", "--max-frames", "40", *outputs) == 0
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    records = [line for line in lines if line["type"] == "frame"]
    assert [record["index"] for record in records] == list(range(40))
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 40
    rows = list(csv.DictReader(people.read_text().splitlines()))
    shown = {track["id"] for record in records for track in record["tracks"]}
    assert {int(row["id"]) for row in rows} == shown
    assert re.search(r"^\d+ (person|people) in 2 s: ", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--src", "nowhere.mp4"], "nowhere.mp4"),
        (["--src", "{tmp}/text.mp4"], "text.mp4"),
        (["--src", "{tmp}/empty.mp4"], "empty.mp4"),
        (["--src", "{tmp}/folder"], "folder"),
        (["--src", "9"], "--src sample"),
        (["--src", "rtsp://joe:s3cret@no-such-host.invalid/live"], "no-such-host"),
        (["--src", "rtsp://joe:s3cret@127.0.0.1:9/live"], "127.0.0.1"),
        (["--src", "sample", "--output", "{tmp}/nowhere/out.mp4"], "nowhere"),
        (["--src", "sample", "--output", "{tmp}/out.xyz"], ".mp4"),
        (["--src", "sample", "--events", "{tmp}/folder"], "folder"),
        (["--src", "sample", "--people", "{tmp}/nowhere/out.csv"], "nowhere"),
        (["--src", "sample", "--weights", "nonsense"], "dlibresnet_fairface"),
        (["--src", "sample", "--weights", "{tmp}/text.onnx"], "text.onnx"),
        (["--src", "sample", "--weights", "{tmp}/model.keras"], ".export "),
        (["--src", "sample", "--detect-every", "0"], "got '0'"),
        (["--src", "sample", "--threads", "0"], "got '0'"),
        (["--src", "sample", "--max-latency", "0"], "got '0'"),
        (["--src", "sample", "--threads", "99999999999"], "1024"),
        (["--src", "sample", "--max-frames", "9" * 30], "got '99"),
        (["rtsp://joe:s3cret@camera/live"], "unrecognized"),
        (["--src", "sample", "--events", "{tmp}/same", "--people", "{tmp}/same"], "same file"),
        (["--src", "sample", "--min-face", "many"], "got 'many'"),
        (["--src", "sample", "--attributes", "age,shoe-size"], "ethnicity"),
        (["--src", "sample", "--detector", "viola"], "mtcnn"),
        (["--src", "sample", "--estimator", "ssrnet", "--attributes", "ethnicity"], "ethnicity"),
    ],
)
def test_bad_input_gives_one_line_and_exit_code_2(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.mp4").touch()
    for name in ("text.mp4", "text.onnx", "model.keras"):
        (tmp_path / name).write_text("this is text\n" * 100)
    filled = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert run_main("--no-window", *filled) == 2
    line = one_line(capsys)
    assert words in line
    assert "s3cret" not in line
    assert sorted(path.name for path in tmp_path.rglob("*")) == before, "something was left behind"


@pytest.mark.parametrize(
    "source", ["{film}", " {film}", "chaos:{film}?freeze=1@2", "env:FILM", "{link}", "{folder}"]
)
@pytest.mark.parametrize("flag", ["--output", "--events", "--people"])
def test_the_source_is_never_overwritten(
    source: str,
    flag: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_folder = source == "{folder}"
    if is_folder and flag == "--output":
        pytest.skip("a recording is no picture")
    link, path = tmp_path / "link.mp4", tmp_path / "folder" / ("p.png" if is_folder else "f.mp4")
    path.parent.mkdir()
    data = encode(np.zeros((64, 64, 3), np.uint8), ".png") if is_folder else SAMPLE.read_bytes()
    path.write_bytes(data or b"")
    link.symlink_to(path)
    monkeypatch.setenv("FILM", str(path))
    text = source.format(film=path, link=link, folder=path.parent)
    arguments = ("--src", text, "--no-window", "--max-frames", "3", flag)
    for output in (path, link):
        assert run_main(*arguments, str(output), factories=QUICK) == 2
        assert "is the source itself" in one_line(capsys)
        assert path.read_bytes() == data


def test_the_bundled_sample_is_never_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    before = SAMPLE.read_bytes()
    assert run_main("--src", "sample", "--no-window", "--output", str(SAMPLE)) == 2
    assert "source" in one_line(capsys)
    assert SAMPLE.read_bytes() == before


def test_without_a_display_the_other_outputs_go_on(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    events = tmp_path / "events.jsonl"
    source = ["--src", "test:64x48", "--max-frames", "3"]
    assert run_main(*source, "--events", str(events), factories=QUICK) == 0
    assert "display" in capsys.readouterr().err
    assert events.read_text().count('"type":"frame"') == 3
    assert run_main(*source, factories=QUICK) == 2
    assert "--output" in one_line(capsys)


def test_a_lost_camera_is_an_error_and_what_was_recorded_plays(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lost = SourceError("camera lost")
    camera, video = reading(failing_source(5, lost)), tmp_path / "out.mp4"
    recorded = ["--no-window", "--output", str(video)]
    assert run_main("--src", "1", *recorded, factories=camera) == 2
    assert "camera lost" in one_line(capsys)
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


def test_ctrl_c_ends_the_run_in_good_order(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    interrupted = ListSource(film(25), error=KeyboardInterrupt())
    video = tmp_path / "out.mp4"
    recorded = ["--no-window", "--output", str(video)]
    assert run_main("--src", "1", *recorded, factories=reading(interrupted)) == 0
    assert re.search(r" in \d+ s", capsys.readouterr().err)
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) > 10


def test_a_second_ctrl_c_does_not_cut_the_recording_short(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Impatient(Recording):
        def close(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            super().close()

    interrupted = reading(ListSource(film(25), error=KeyboardInterrupt()))
    before = signal.getsignal(signal.SIGINT)
    video = tmp_path / "out.mp4"
    recorded = ["--no-window", "--output", str(video)]
    impatient = replace(interrupted, recording=Impatient)
    assert run_main("--src", "1", *recorded, factories=impatient) == 0
    assert signal.getsignal(signal.SIGINT) is before
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) > 10


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_a_playable_recording(number: signal.Signals, tmp_path: Path) -> None:
    video = tmp_path / "out.mp4"
    command = [sys.executable, "stream.py", "--src", "sample", "--no-window"]
    process = subprocess.Popen(
        [*command, "--output", str(video)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while not (video.exists() and video.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 0, error
    assert "Traceback" not in error
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) > 0


def test_the_program_imports_no_tensorflow_and_dlib_only_when_asked() -> None:
    code = (
        "import sys, stream;"
        "assert stream.main(['--src', 'sample', '--no-window', '--max-frames', '2']) == 0;"
        "assert not {'tensorflow', 'keras', 'dlib', '_dlib_pybind11'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, env=environment, capture_output=True
    )


def test_help_names_every_way_to_look_and_to_leave(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("--help") == 0
    text = capsys.readouterr().out
    for word in ("webcam", "rtsp://", "sample", "q or Esc", "Ctrl-C", "--people"):
        assert word in text


def test_several_sources_are_recorded_in_one_picture_and_told_apart(tmp_path: Path) -> None:
    video, events, people = (tmp_path / name for name in ("o.mp4", "o.jsonl", "o.csv"))
    sources = ["--src", "test:64x48@10,duration=1", "--src", "test:96x48@10,duration=1"]
    outputs = ["--output", str(video), "--events", str(events), "--people", str(people)]
    assert run_main(*sources, "--no-window", *outputs, factories=QUICK) == 0
    with av.open(str(video)) as container:
        assert container.streams.video[0].width == 1920
        assert sum(1 for _ in container.decode(video=0)) >= 10
    assert events.read_text().count('"type":"frame"') == 20
    rows = list(csv.DictReader(people.read_text().splitlines()))
    assert {row["camera"] for row in rows} == {source for source in sources if ":" in source}
    assert len({row["id"] for row in rows}) == len(rows) == 2


def test_a_recording_that_fails_costs_the_exit_code_and_nothing_else(tmp_path: Path) -> None:
    video, events = tmp_path / "o.mp4", tmp_path / "o.jsonl"
    outputs = ["--output", str(video), "--events", str(events)]

    class Full(Recording):
        failed = SinkError("disk full")

    source = ["--src", "test:64x48,duration=1", "--no-window"]
    assert run_main(*source, *outputs, factories=replace(QUICK, recording=Full)) == 2
    assert events.read_text().count('"type":"frame"') == 25


@pytest.mark.parametrize(("privacy", "sounds"), [([], 1), (["--blur"], 1), (["--anonymous"], 0)])
def test_where_people_stay_anonymous_their_voices_are_not_recorded(
    privacy: list[str], sounds: int, tmp_path: Path
) -> None:
    film, video = write_clicks(tmp_path / "film.mp4"), tmp_path / "o.mp4"
    recorded = ["--src", str(film), "--no-window", "--output", str(video)]
    assert run_main(*recorded, *privacy, factories=QUICK) == 0
    with av.open(str(video)) as container:
        assert len(container.streams.audio) == sounds


def test_an_address_may_stand_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOOR", "rtsp://bob:s3cret@door/stream")
    assert parse_arguments(["--src", "env:DOOR"]).src == ["rtsp://bob:s3cret@door/stream"]
    with pytest.raises(SystemExit, match="2"):
        parse_arguments(["--src", "env:NO_SUCH_DOOR"])
    assert "--src env:NO_SUCH_DOOR: there is no such variable" in capsys.readouterr().err


@pytest.mark.parametrize(("more", "mode"), [([], 0o600), (["--file-mode", "0640"], 0o640)])
def test_outputs_are_the_users_own_unless_they_are_shared(
    tmp_path: Path, more: list[str], mode: int
) -> None:
    names = ("o.mp4", "o.jsonl", "o.csv")
    video, events, people = (str(tmp_path / name) for name in names)
    outputs = ["--output", video, "--events", events, "--people", people, *more]
    source = reading(ListSource(film(3)))
    assert run_main("--src", "x", "--no-window", *outputs, factories=source) == 0
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("mode", ["640x", "0400", "0755", "9", "0o640", "-1"])
def test_a_mode_that_makes_no_sense_is_refused(
    mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main("--src", "x", f"--file-mode={mode}") == 2
    assert "want 0600" in one_line(capsys)


def test_options_of_the_page_need_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("--src", "x", "--behind-proxy") == 2
    assert "--serve" in one_line(capsys)


@pytest.mark.parametrize("option", ["output", "events", "people"])
def test_an_output_without_a_name_is_refused(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main("--src", "x", f"--{option}=") == 2
    assert f"--{option} is empty; name a file" in one_line(capsys)


@pytest.mark.parametrize(
    ("count", "most", "expected"), [(50, None, 50), (50, 20, 20), (5, 20, 5), (None, 20, 20)]
)
def test_the_progress_bar_ends_where_the_run_does(
    count: int | None, most: int | None, expected: int | None
) -> None:
    source = ListSource(film(3))
    source.frame_count = count
    camera = Camera("a", "a.mp4", source=SourceOptions(max_frames=most))
    assert frames_expected([camera], [source]) == expected
    assert frames_expected([camera, camera], [source, source]) is None


@pytest.mark.parametrize("known", [True, False])
def test_counts_are_corrected_where_the_errors_of_the_weights_are_known(
    known: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    events, hours = tmp_path / "o.jsonl", tmp_path / "h.csv"
    outputs = ["--events", str(events), "--hours", str(hours)]
    own = shutil.copy(find_weights(None, "ssrnet").path("onnx"), tmp_path / "own.onnx")
    more = [] if known else ["--estimator", "ssrnet", "--weights", str(own)]
    quick = reading(ListSource(film(20)))
    assert run_main("--no-window", *outputs, *more, factories=quick) == 0
    records = [json.loads(line) for line in events.read_text().splitlines()]
    (last,) = (record for record in records if record["type"] == "aggregate")
    assert (last["entered"], last["people"], last["corrected"] is not None) == (1, 1, known)
    assert hours.read_text().splitlines()[1].split(",")[1:3] == ["1", "1"]
    said = caplog.text
    assert "people: 1 seen" in said
    assert ("corrected: female" in said, "not corrected" in said) == (known, not known)


def moving_away() -> ScriptedDetector:
    """A face for 20 frames, nobody for 40, and the face again somewhere else."""
    here, there = [[10.0, 8.0, 40.0, 44.0]], [[300.0, 200.0, 330.0, 236.0]]
    return ScriptedDetector([here] * 20 + [[]] * 40 + [there] * 20)


class OneFaceEmbedder:
    """Finds everybody alike."""

    name, input_size = "one", 8

    def embed(self, chips: Image) -> dict[str, Float32]:
        return {"embedding": np.ones((len(chips), 128), np.float32)}


def tracks_of(events: Path) -> list[dict[str, Any]]:
    """All tracks of all frames, in order."""
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    return [track for line in lines if line["type"] == "frame" for track in line["tracks"]]


@pytest.mark.parametrize(("flags", "people"), [([], 2), (["--remember", "5m"], 1)])
def test_who_comes_back_keeps_the_id_and_what_is_known_only_if_asked_for(
    flags: list[str], people: int, tmp_path: Path
) -> None:
    def assemble(models: ModelOptions, tracking: TrackingOptions) -> Assembly:
        made = scripted(moving_away)(models, tracking)
        return replace(made, make_embedder=lambda *_, **__: OneFaceEmbedder())

    events = tmp_path / "events.jsonl"
    noise = np.random.default_rng(0).integers(0, 255, (270, 480, 3), np.uint8)  # is sharp
    frames = [Frame(noise, i, i / 25) for i in range(80)]
    factories = replace(reading(ListSource(frames)), assembly=assemble)
    arguments = ["--src", "a", "--no-window", "--threads", "1", "--detect-every", "1"]
    assert run_main(*arguments, "--events", str(events), *flags, factories=factories) == 0
    tracks = tracks_of(events)
    assert len({track["id"] for track in tracks}) == people
    numbers = [track["samples"] for track in tracks]
    assert (numbers == sorted(numbers)) == bool(flags)  # the estimates of then count


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["0"], "such as 30s, 10m or 1h, got '0'"),
        (["5"], "such as 30s, 10m or 1h, got '5'"),
        (["-3s"], "expected one argument"),
        (["10m", "--anonymous"], "which --anonymous forbids; leave one out"),
    ],
)
def test_a_time_to_remember_people_that_cannot_be_is_refused(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main("--src", "sample", "--remember", *flags) == 2
    assert words in one_line(capsys)


def test_remembering_without_the_network_for_it_ends_with_the_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "face_recognition_models", None)
    arguments = ["--src", "sample", "--no-window", "--remember", "1h"]
    assert run_main(*arguments, factories=QUICK) == 2
    assert "pip install -r requirements-live.txt" in one_line(capsys)
