"""Damaged files, and signals at any moment: what must never happen, counted.

    python -m benchmarks.hardening [--mutations N] [--signals N]

Prints, as Markdown:

- of N damaged files (flipped bytes, parts cut off or overwritten; HEIC too where pillow-heif is
  installed), read as a source (30 frames) and by predict.py: how many ended in an exception that
  is no `StreamError`, crashed the process or took longer than ten seconds, and the peak memory;
- of N runs of stream.py, ended by SIGTERM or SIGINT at a random moment: exit codes that are not
  0, recordings that have not every frame of the events, files left in part, tracebacks.
"""

import argparse
import contextlib
import importlib
import io
import itertools
import json
import logging
import multiprocessing
import random
import resource
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path

import av
import cv2

import predict
from benchmarks import common
from benchmarks.common import flag, frames_of, row, table
from errors import StreamError
from program.options import number
from structures import Image

_LIMIT_S = 10.0
_FRAMES = 30
_TOO_EARLY = "ended by the system, before the program's first line"
_AT_ONCE = 50  # files of one run of predict.py, which loads its networks first
_FILMS = {
    ".mp4": "libx264", ".mkv": "libx264", ".mov": "libx264", ".ts": "libx264",
    ".webm": "libvpx", ".avi": "mpeg4",
}  # fmt: skip
_PHOTOGRAPHS = (".jpg", ".png", ".webp", ".avif", ".jp2", ".gif")


def originals() -> dict[str, bytes]:
    """Return suffix -> the bytes of a small file of that kind, of the sample's first frames."""
    images = [
        cv2.resize(frame.image, (320, 180), interpolation=cv2.INTER_AREA)
        for frame in frames_of(common.SAMPLE, _FRAMES)
    ]
    found = {each: cv2.imencode(each, images[0])[1].tobytes() for each in _PHOTOGRAPHS}
    if heic := _heic(images[0]):
        found[".heic"] = heic
    with tempfile.TemporaryDirectory() as folder:
        for suffix, codec in _FILMS.items():
            path = Path(folder) / f"film{suffix}"
            _write_film(path, codec, images)
            found[suffix] = path.read_bytes()
    return found


def _heic(image: Image) -> bytes | None:
    """The image as the HEIC file of a telephone; None without pillow-heif."""
    try:
        heif = importlib.import_module("pillow_heif")
    except ImportError:
        common.say("hardening", "no .heic without `pip install pillow-heif`")
        return None
    data = io.BytesIO()
    heif.encode("BGR", image.shape[1::-1], image.tobytes(), data, quality=60)
    return data.getvalue()


def _write_film(path: Path, codec: str, images: Sequence[Image]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return `data` with one to three damages, most of them near its beginning."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        size = max(1, len(changed))
        at = int(size * chance.random() ** chance.choice((1, 4)))
        kind = chance.randrange(4)
        if kind == 0:
            for _ in range(chance.choice((1, 8, 64))):
                changed[chance.randrange(at, size)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del changed[at:]
        elif kind == 2:
            del changed[at : at + chance.randint(1, 64)]
        else:
            length = min(chance.choice((1, 4, 64)), size - at)
            changed[at : at + length] = chance.choice(
                (b"\xff" * length, bytes(length), chance.randbytes(length))
            )
        if not changed:
            break
    return bytes(changed)


def read(reader: str, paths: Sequence[Path]) -> None:
    """Read files in the way of `reader`; what is refused in order is no error."""
    if reader == "predict.py":
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            predict.main(list(map(str, paths)))
        return
    for path in paths:
        with contextlib.suppress(StreamError):
            for _ in frames_of(path, _FRAMES):
                pass


def serve(pipe: Connection) -> None:
    """Answer (reader, paths) with (what went wrong, peak MB), in a process of its own."""
    logging.disable()
    while True:
        try:
            reader, paths = pipe.recv()
        except EOFError:
            return
        outcome = ""
        try:
            read(reader, paths)
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        pipe.send((outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3))


class Patient:
    """A process that reads files; replaced after it crashed or hung.

    Its patience is ten seconds a file, and twice what the sound file `usual` takes: networks
    are loaded, perhaps on a busy machine.
    """

    def __init__(self, reader: str, usual: Path) -> None:
        self.peak_mb, self._reader, self._usual = 0.0, reader, usual
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=serve, args=(other,), daemon=True)
        self._process.start()
        other.close()
        for _ in range(2):  # the first time is that of imports
            began_s = time.monotonic()
            self._pipe.send((self._reader, [self._usual]))
            self._pipe.recv()
            self._usual_s = time.monotonic() - began_s

    def outcomes(self, paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """Yield what went wrong with each file; after a bad trial of several, they go singly."""
        outcome = self._outcome(paths)
        if len(paths) == 1 or not outcome:
            yield from ((path, outcome) for path in paths)
            return
        for path in paths:
            yield path, self._outcome([path])

    def _outcome(self, paths: Sequence[Path]) -> str:
        self._pipe.send((self._reader, paths))
        outcome = "hung"
        try:
            if self._pipe.poll(_LIMIT_S * len(paths) + 2 * self._usual_s):
                outcome, peak_mb = self._pipe.recv()
                self.peak_mb = max(self.peak_mb, peak_mb)
                return outcome
        except EOFError:
            outcome = "crashed"
        self.close()
        self._start()
        return outcome

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(1.0)
        self._process.kill()
        self._process.join()


def damage(count: int, keep: Path) -> Iterator[tuple[str, Counter[str], float]]:
    """Yield reader, its outcomes and its peak MB, of `count` damaged files.

    Those with which something went wrong are copied to the folder `keep`.
    """
    chance, kinds = random.Random(11), originals()
    with tempfile.TemporaryDirectory() as folder:
        usual, paths = Path(folder) / "usual.png", []
        usual.write_bytes(kinds[".png"])
        for i, suffix in zip(range(count), itertools.cycle(kinds), strict=False):
            paths.append(Path(folder) / f"{i:05d}{suffix}")
            paths[-1].write_bytes(mutated(kinds[suffix], chance))
        for reader, at_once in (("open_source", 1), ("predict.py", _AT_ONCE)):
            patient, outcomes = Patient(reader, usual), Counter[str]()
            for first in range(0, count, at_once):
                for path, outcome in patient.outcomes(paths[first : first + at_once]):
                    outcomes[outcome] += 1
                    if outcome:
                        common.say("hardening", f"{reader}, {path.name}: {outcome}")
                        keep.mkdir(parents=True, exist_ok=True)
                        (keep / path.name).write_bytes(path.read_bytes())
            patient.close()
            yield reader, outcomes, patient.peak_mb


def interrupted(folder: Path, after_s: float, number: signal.Signals) -> tuple[list[str], bool]:
    """End a run of stream.py by a signal.

    Returns:
        What was wrong, and whether there was a frame before it ended.
    """
    film, events = folder / "o.mp4", folder / "o.jsonl"
    process = subprocess.Popen(
        common.stream_command("sample", "--output", film, "--events", events),
        cwd=common.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(after_s)
    process.send_signal(number)
    try:
        _, text = process.communicate(timeout=90)
    except subprocess.TimeoutExpired:
        process.kill()
        return ["did not end", process.communicate()[1]], False
    if process.returncode == -number and not any(folder.iterdir()):
        return [_TOO_EARLY], False
    wrong = [f"exit code {process.returncode}"] if process.returncode else []
    if "Traceback" in text or "Error" in text:
        wrong.append(common.last_line(text))
    frames = _frames_in(events)
    if frames != (shown := _images_in(film)):
        wrong.append(f"{frames} records of frames, {shown} frames recorded")
    if others := sorted(p.name for p in folder.iterdir() if p not in (film, events)):
        wrong.append(f"left: {', '.join(others)}")
    return wrong, frames > 0


def _frames_in(events: Path) -> int:
    lines = events.read_text().splitlines() if events.exists() else []
    return sum(json.loads(line)["type"] == "frame" for line in lines)


def _images_in(film: Path) -> int:
    """The frames of a recording; -1 = it cannot be read."""
    try:
        return sum(1 for _ in frames_of(film)) if film.exists() else 0
    except StreamError:
        return -1


def interrupt(count: int, span_s: float) -> None:
    """End `count` runs by signals within `span_s` and print what was wrong."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" has it ignored
    chance, wrong = random.Random(11), Counter[str]()

    def one(number: signal.Signals, after_s: float) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            faults, some = interrupted(Path(folder), after_s, number)
        wrong.update(faults)
        for fault in faults:
            common.say("hardening", f"{number.name} after {after_s:.2f} s: {fault}")
        return some

    numbers = [signal.SIGTERM if i % 2 else signal.SIGINT for i in range(count)]
    with ThreadPoolExecutor(2) as pool:
        begun = sum(pool.map(one, numbers, [chance.uniform(0, span_s) for _ in numbers]))
    early = wrong.pop(_TOO_EARLY, 0)
    print(f"\n{count} runs ended by a signal in their first {span_s:g} s, {begun} of them after")
    print(f"the first frame, {early} {_TOO_EARLY}:")
    print(f"{sum(wrong.values())} faults {dict(wrong) or ''}")


@common.command(
    "hardening",
    __doc__,
    flag("--mutations", type=number(int, 0), default=1000, metavar="N", help="default: 1000"),
    flag("--signals", type=number(int, 0), default=200, metavar="N", help="default: 200"),
    flag(
        "--seconds",
        type=number(float, 0.1),
        default=8.0,
        metavar="S",
        help="the signals come in the first S of a run (default: %(default)g)",
    ),
    common.OUT,
)
def main(options: argparse.Namespace) -> None:
    """Print the figures of both."""
    if options.mutations:
        print(table(["reader", "files", "exceptions", "crashed", "hung", "peak MB"]))
        for reader, outcomes, peak_mb in damage(options.mutations, options.out / "hardening"):
            del outcomes[""]
            crashed, hung = (outcomes.pop(each, 0) for each in ("crashed", "hung"))
            cells = sum(outcomes.values()), crashed, hung, round(peak_mb)
            print(row(reader, options.mutations, *cells), flush=True)
    if options.signals:
        interrupt(options.signals, options.seconds)


if __name__ == "__main__":
    raise SystemExit(main())
