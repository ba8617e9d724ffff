"""Faces and frames per second on a GPU, or on the CPU for comparison.

    python -m benchmarks.gpu [--device auto|cpu|gpu] [--seconds S] [--weights NAME]

First the estimator alone, in every installed engine: faces per second at batches from 1 to 512,
two batches in flight. Then whole frames, 1920x1080 with 1, 8 and 64 faces: searched, tracked,
estimated, smoothed, without decoding or drawing. Engines take turns; compare only lines of one
run. It has not been run on a GPU yet.
"""

import argparse
import statistics
import time
from itertools import product

from benchmarks.common import command, flag
from benchmarks.detectors import image_of_faces
from benchmarks.engines import noise_chips
from engines import Engine, make_engine
from engines.choose import DEVICES, ENGINES, Way, installed, ways
from errors import EngineError, StreamError
from estimators import DEFAULT
from estimators.weights import Weights, find_weights
from program.assemble import Assembly
from program.options import ModelOptions, TrackingOptions, number
from program.pipeline import Pipeline
from structures import Frame, Image

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
FACES = (1, 8, 64)
SIZE_WH = (1920, 1080)
_ROUNDS = 3


def engines_on(device: str, weights: Weights) -> dict[str, Engine]:
    """Return every engine that works here on the device, by label."""
    made: dict[str, Engine] = {}
    chosen = [way for name in ENGINES if installed(name) for way in _ways(name, device, weights)]
    for way in chosen:
        try:
            engine = make_engine(way.engine, weights, device=way.device)
        except StreamError as error:
            print(f"left out: {error}")
            continue
        made[f"{way.engine}, {way.device}, {engine.precision}"] = engine
    return made


def _ways(engine: str, device: str, weights: Weights) -> list[Way]:
    try:
        return ways(engine, device, weights.files)
    except EngineError:
        return []


def faces_a_second(engine: Engine, batch: int, seconds: float) -> float:
    """Return the rate over `seconds`, with the next batch sent before the last is collected."""
    chips = noise_chips(engine, batch)
    engine.submit(chips)()
    done, start = 0, time.perf_counter()
    pending = engine.submit(chips)
    while time.perf_counter() - start < seconds:
        following = engine.submit(chips)
        pending()
        done, pending = done + len(chips), following
    pending()
    return (done + len(chips)) / (time.perf_counter() - start)


def frames_a_second(pipeline: Pipeline, image: Image, seconds: float) -> tuple[float, int]:
    """Return the rate over `seconds`, and the number of tracks at the end."""
    pipeline.process(Frame(image, 0, 0.0))
    index, start = 1, time.perf_counter()
    while time.perf_counter() - start < seconds:
        tracks, _ = pipeline.process(Frame(image, index, index / 25))
        index += 1
    return (index - 1) / (time.perf_counter() - start), len(tracks)


def show_faces(weights: Weights, device: str, seconds: float) -> None:
    """Print the estimator's faces per second."""
    made = engines_on(device, weights)
    if not made:
        raise EngineError(
            f"no engine here runs on --device {device}; see python stream.py --doctor"
        )
    print(f"\n{weights.name}, faces/s at batch" + "".join(f"{n:>8}" for n in BATCHES))
    rates: dict[str, list[float]] = {label: [] for label in made}
    for batch, (label, engine) in product(BATCHES, made.items()):
        rounds = [faces_a_second(engine, batch, seconds) for _ in range(_ROUNDS)]
        rates[label].append(statistics.median(rounds))
    for label, values in rates.items():
        print(f"{label:{len(weights.name) + 18}}" + "".join(f"{value:8.0f}" for value in values))


def show_frames(options: argparse.Namespace) -> None:
    """Print whole frames per second; converged tracks are estimated less often."""
    models = ModelOptions(weights=options.weights, device=options.device)
    assembly = Assembly(models, TrackingOptions(detect_every=1))
    detector, estimator = assembly.detector(threads=0), assembly.estimator()
    print(f"\n{SIZE_WH[0]}x{SIZE_WH[1]}, frames/s, every one searched")
    for count in FACES:
        image = image_of_faces(SIZE_WH, count)
        pipeline = assembly.pipeline(detector, estimator)
        rate, followed = frames_a_second(pipeline, image, _ROUNDS * options.seconds)
        made = pipeline.smoother.estimates_made
        saved = pipeline.smoother.estimates_saved
        print(
            f"{count:4} faces, {followed:3} followed: {rate:7.1f}   "
            f"({100 * saved / max(made + saved, 1):.0f} % of the estimates saved)"
        )


@command(
    "gpu",
    __doc__,
    flag("--device", choices=DEVICES, default="auto"),
    flag("--seconds", type=number(float, 0.01), default=1.0),
    flag("--weights", metavar="NAME", help=f"of {DEFAULT}; default: the shipped"),
)
def main(options: argparse.Namespace) -> None:
    """Print both tables."""
    weights = find_weights(options.weights, DEFAULT)
    show_faces(weights, options.device, options.seconds)
    show_frames(options)


if __name__ == "__main__":
    raise SystemExit(main())
