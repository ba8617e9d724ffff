"""Images per second that the input pipeline makes, and that each backend trains on.

    python -m benchmarks.training [--settings ssrnet mobilenetv2] [--workers 0 1 2]
    python -m benchmarks.training --backends tensorflow jax torch --set precision=mixed_bfloat16

The chips are noise of 112 pixels. Training is that of `training.train`, with the pipeline and
without the first epoch, in which the backend compiles; each backend runs in its own process. Those
that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import common
from benchmarks.common import flag, row, table
from estimators import networks
from program.options import number
from training.chips import Chips, labelled
from training.fitting.batches import BatchPlan, Loader
from training.fitting.checkpoint import Progress
from training.fitting.fit import Fit, FitTask
from training.fitting.held_out import predict
from training.fitting.objectives import make_targets
from training.fitting.settings import TrainingSettings, read_settings
from training.labels import Face

BACKENDS = ("tensorflow", "jax", "torch")
_SIDE = 112
_EPOCHS = 3  # of which the first is not counted


def noise(count: int) -> Chips:
    """Return chips of noise with labels of all kinds."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, _SIDE, _SIDE, 3), np.uint8)
    faces = [Face(str(i), (i % 70, i % 70 + 5 * (i % 2)), i % 3 == 0, i % 5) for i in range(count)]
    return labelled(images, faces)


def pipeline_rate(settings: TrainingSettings, workers: int, steps: int) -> float:
    """Return the images per second that the pipeline makes without training."""
    network = importlib.import_module(f"{networks.__name__}.{settings.architecture}")
    size = settings.size or network.INPUT_SIZE
    rows = np.arange(settings.batch * steps)
    plan = BatchPlan(rows % 1024, None, settings.batch, size, settings.strength, 0)
    with Loader(noise(1024).images, plan, workers) as loader:
        list(loader.batches(0, max(0, steps - 2 * max(1, workers))))  # the processes have started
        began = time.perf_counter()
        for _ in loader.batches(1):
            pass
        return len(rows) / (time.perf_counter() - began)


def training_rate(settings: TrainingSettings, steps: int) -> float:
    """Return the images per second that a backend trains on."""
    from training.fitting.networks import build_network

    settings = replace(
        settings, epochs=_EPOCHS, frozen_epochs=0, minutes=0.0, patience=0, imitate="", teacher=""
    )
    model = build_network(settings)
    chips = noise(settings.batch * steps)
    rows = np.arange(len(chips))
    plan = BatchPlan(rows, None, settings.batch, model.input_shape[1], settings.strength, 0)
    targets = make_targets(chips, settings)
    with tempfile.TemporaryDirectory() as folder:
        held, progress = chips.take(rows[:8]), Progress()
        predict_held_out = partial(predict, images=held.images)
        with Loader(chips.images, plan, settings.workers) as loader:
            task = FitTask(
                settings,
                targets,
                plan.steps,
                loader.batches,
                predict_held_out,
                held,
                Path(folder),
                "noise",
            )
            Fit(task, model, progress).run()
    minutes = [line["minutes"] for line in progress.history]
    return (_EPOCHS - 1) * len(rows) / (60 * (minutes[-1] - minutes[0]))


def show_pipeline(options: argparse.Namespace) -> None:
    """Print a table of the pipeline's rates."""
    print(table(["pipeline alone, images/s", *(f"{n} processes" for n in options.workers)]))
    for name in options.settings:
        settings = read_settings(Path(name), options.set)
        steps = max(8, 4096 // settings.batch)
        rates = [pipeline_rate(settings, n, steps) for n in options.workers]
        print(row(name, *(f"{rate:,.0f}" for rate in rates)), flush=True)


def show_training(options: argparse.Namespace) -> None:
    """Print a table of each backend's rate, each in its own process."""
    installed = [each for each in options.backends if importlib.util.find_spec(each)]
    for missing in sorted(set(options.backends) - set(installed)):
        print(f"{missing} is not installed")
    print("\n" + table(["training, images/s", *installed]))
    for name in options.settings:
        rates = [_rate_in_a_process(options, name, backend) for backend in installed]
        print(row(name, *rates), flush=True)


def _rate_in_a_process(options: argparse.Namespace, name: str, backend: str) -> str:
    flags = "--settings", name, "--steps", options.steps, "--one", "--set", *options.set
    environment = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        command = common.python("benchmarks.training", *flags)
        return common.last_line(common.output_of(command, **environment))
    except common.BenchmarkError as error:
        common.say("training", str(error))
        return "-"


@common.command(
    "training",
    __doc__,
    flag("--settings", nargs="+", default=["ssrnet", "mobilenetv2"], help="files or their names"),
    flag("--set", nargs="*", default=["precision=float32", "workers=2"], metavar="KEY=VALUE"),
    flag("--backends", nargs="+", choices=BACKENDS, default=BACKENDS),
    flag("--workers", nargs="+", type=number(int, 0), default=[0, 1, 2], help="of the pipeline"),
    flag("--steps", type=number(int, 2), default=16, help="of each of two timed epochs"),
    flag("--one", action="store_true", help=argparse.SUPPRESS),
)
def main(options: argparse.Namespace) -> None:
    """Print both tables."""
    if options.one:
        settings = read_settings(Path(options.settings[0]), options.set)
        print(f"{training_rate(settings, options.steps):,.0f}")
        return
    show_pipeline(options)
    show_training(options)


if __name__ == "__main__":
    raise SystemExit(main())
