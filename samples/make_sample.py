"""Make the sample clip and its truth: `python -m samples.make_sample [--check]`.

Without a flag it writes `sample.mp4` and `sample.json` into `--out`, by default next to this
file. The truth and the images come from a seed and are the same everywhere; the bytes of the
video depend on the version of x264. `--check` writes nothing: it compares the existing files
with what would be made.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
from tqdm import tqdm

from errors import SourceError, StreamError
from samples.motion import FPS, FRAMES, HERE, SIZE_WH, truth
from samples.scene import render
from training.result_files import write_bytes, writing

CRF = 21
KEY_FRAME_EVERY_S = 2
BOX_TOLERANCE = 0.05  # pixels; SciPy and OpenCV versions may round differently
VISIBLE_TOLERANCE = 0.02
CHECK_EVERY = 30  # frames of the clip that `--check` draws again: every 30th
PSNR_DB = 32.0  # least PSNR of a decoded frame against the drawn one


def truth_json() -> str:
    """Return the truth as JSON text, one frame per line."""
    whole = truth()
    head = {name: value for name, value in whole.items() if name != "frames"}
    frames = ",\n".join(json.dumps(frame, separators=(",", ":")) for frame in whole["frames"])
    return json.dumps(head, indent=1)[:-2] + f',\n "frames": [\n{frames}\n ]\n}}\n'


def write_video(path: Path) -> None:
    """Draw every frame and encode it as H.264 in an mp4 that can start before its end."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS))
        stream.width, stream.height = SIZE_WH
        stream.pix_fmt = "yuv420p"
        stream.gop_size = KEY_FRAME_EVERY_S * FPS
        stream.options = {"crf": str(CRF), "preset": "slow", "threads": "1"}
        for index in tqdm(range(FRAMES), unit="frame"):
            frame = av.VideoFrame.from_ndarray(render(index), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _leaves(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of everything in `value` that is neither list nor dict."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from _leaves(inner, f"{where}.{key}")
    else:
        yield where, value


def truth_differences(shipped: dict[str, Any], made: dict[str, Any]) -> list[str]:
    """Name every place where two truths differ by more than rounding."""
    left, right = dict(_leaves(shipped)), dict(_leaves(made))
    wrong = [f"{where}: in one of the two only" for where in sorted(left.keys() ^ right.keys())]
    for where in left.keys() & right.keys():
        a, b = left[where], right[where]
        tolerance = VISIBLE_TOLERANCE if where.endswith(".visible") else BOX_TOLERANCE
        numbers = isinstance(a, float | int) and isinstance(b, float | int)
        differs = abs(a - b) > tolerance if numbers else a != b
        if differs:
            wrong.append(f"{where}: {a!r}, made now {b!r}")
    return wrong


def video_differences(path: Path) -> list[str]:
    """Name what is wrong with the clip: its length, or frames unlike the drawn ones."""
    wrong, count = [], 0
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            count = index + 1
            if index % CHECK_EVERY == 0 and index < FRAMES:
                likeness = cv2.PSNR(frame.to_ndarray(format="bgr24"), render(index))
                if likeness < PSNR_DB:
                    wrong.append(f"frame {index}: {likeness:.1f} dB from the drawn one")
    if count != FRAMES:
        wrong.append(f"{count} frames, made now {FRAMES}")
    return wrong


def check(folder: Path) -> list[str]:
    """Compare the files in `folder` with newly made ones; empty if they agree.

    Raises:
        SourceError: one of the files is missing.
    """
    for name in ("sample.mp4", "sample.json"):
        if not (folder / name).is_file():
            raise SourceError(f"no {name} in {folder}: make it, without --check")
    shipped = json.loads((folder / "sample.json").read_text("utf-8"))
    return truth_differences(shipped, truth()) + video_differences(folder / "sample.mp4")


def make(folder: Path) -> None:
    """Write both files into `folder`."""
    write_bytes(folder / "sample.json", truth_json().encode())
    clip = folder / "sample.mp4"
    with writing(clip) as beside:
        write_video(beside)
    print(f"{clip}: {FRAMES} frames, {clip.stat().st_size / 1e6:.2f} MB")


def main() -> int:
    """Make the sample, or check the existing one; 1 if the check fails, 2 on an error."""
    parser = argparse.ArgumentParser(description="make the bundled sample clip and its truth")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the two files")
    options = parser.parse_args()
    try:
        if not options.check:
            make(options.out)
            return 0
        wrong = check(options.out)
        print("\n".join(wrong[:20]) or "sample.mp4 and sample.json match what the script makes")
        return 1 if wrong else 0
    except StreamError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
