"""Recordings whose grey level is the number of the frame, and helpers to open them."""

import os
import subprocess
import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from outputs.recording.sink import Recording
from structures import Frame, FrameResult, Image

ROOT = Path(__file__).resolve().parent.parent


def grey(index: int) -> int:
    """The level of a frame by its index, further from its neighbours' than coding errs."""
    return 20 + 7 * (index % 30)


def shot(
    index: int,
    time_s: float,
    size_wh: tuple[int, int] = (160, 90),
    epoch: int = 0,
    arrived_s: float | None = None,
) -> tuple[Image, FrameResult]:
    image = np.full((size_wh[1], size_wh[0], 3), grey(index), np.uint8)
    return image, FrameResult(Frame(image, index, time_s, epoch, arrived_s))


def record(
    path: Path,
    times: Iterable[float],
    fps: float = 25.0,
    size_wh: tuple[int, int] = (160, 90),
    **options: Any,
) -> Recording:
    recording = Recording(path, fps, **options)
    for index, time_s in enumerate(times):
        recording.write(*shot(index, time_s, size_wh))
    recording.close()
    return recording


def read(path: Path) -> list[Any]:
    """PyAV's frames of a file up to where it ends early."""
    frames: list[Any] = []
    with av.open(str(path)) as file:
        try:
            frames.extend(file.decode(video=0))
        except av.FFmpegError:
            assert frames
    return frames


FINISHED = ["ftyp", "free", "mdat", "moov"]  # an ordinary MP4 with its index at the end


def boxes(path: Path) -> list[str]:
    """The kinds of an MP4 file's outermost boxes, in order; "moof" begins a fragment."""
    data, kinds = path.read_bytes(), []
    while data:
        length = int.from_bytes(data[:4], "big")
        kinds.append(data[4:8].decode("latin1"))
        data = data[length or len(data) :]
    return kinds


def times_of(path: Path) -> NDArray[np.float64]:
    return np.array([frame.time for frame in read(path)])


def level(frame: Any) -> int:
    return round(float(frame.to_ndarray(format="bgr24").mean()))


def levels(path: Path) -> list[int]:
    return [level(frame) for frame in read(path)]


def uneven_times(count: int, seed: int = 0) -> NDArray[np.float64]:
    """Times of frames of which some were dropped, beginning at 0."""
    times = np.cumsum(np.random.default_rng(seed).uniform(0.001, 0.12, count))
    return np.asarray(times - times[0])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run_child(
    script: str, *arguments: object, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """The result of a Python process that ran `script` in the root of the project."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, text=True, capture_output=True, timeout=timeout, env=os.environ
    )


def write_clicks(path: Path, codec: str = "aac", seconds: int = 3, rate: int = 48000) -> Path:
    """A film at 25 frames/s, black and silent but for a flash and a click at 1 s, 2 s ..."""
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", 25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = file.add_stream(codec, rate=rate, layout="mono")
        samples: NDArray[Any] = np.zeros(seconds * rate, np.float32)
        for second in range(1, seconds):
            samples[second * rate :][:480] = 0.9 * np.sin(np.arange(480) * 0.13)
        kind = sound.codec_context.format.name
        if kind.startswith("s16"):
            samples = (samples * 32767).astype(np.int16)
        elif kind.startswith("u8"):
            samples = (samples * 127 + 128).astype(np.uint8)
        for index in range(25 * seconds):
            white = index % 25 == 0 and index > 0
            picture = np.full((48, 64, 3), 255 if white else 0, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            file.mux(video.encode(frame))
        step = sound.codec_context.frame_size or 1024
        for start in range(0, len(samples), step):
            chunk = av.AudioFrame.from_ndarray(
                samples[None, start : start + step], format=kind, layout="mono"
            )
            chunk.sample_rate, chunk.pts, chunk.time_base = rate, start, Fraction(1, rate)
            file.mux(sound.encode(chunk))
        file.mux(video.encode(None))
        file.mux(sound.encode(None))
    return path


def flashes_and_clicks(path: Path) -> tuple[list[float], list[float]]:
    """The times, seconds, at which the picture flashes and the sound clicks."""
    flashes = [f.time for f in read(path) if level(f) > 120]
    clicks: list[float] = []
    last = -1.0
    with av.open(str(path)) as file:
        for frame in file.decode(audio=0):
            wave = np.abs(frame.to_ndarray().astype(float).ravel())
            loud = np.flatnonzero(wave > (9000 if frame.format.name.startswith("s16") else 0.27))
            for sample in loud:
                time_s = frame.time + sample / frame.sample_rate
                if time_s - last > 0.5:
                    clicks.append(time_s)
                    last = time_s
    return flashes, clicks


def lengths(path: Path) -> dict[str, float]:
    """Seconds from zero to the end of the last packet, by kind of stream."""
    ends: dict[str, float] = {}
    with av.open(str(path)) as file:
        for packet in file.demux():
            if packet.pts is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                kind = packet.stream.type
                ends[kind] = max(ends.get(kind, 0.0), end)
    return ends
