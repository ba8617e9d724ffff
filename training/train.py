"""Train a network on labelled chips.

    python -m training.train mobilenetv2 --data DIR --out runs/first
    python -m training.train my.toml --set epochs=10 batch=64 --data DIR --out runs/second
    python -m training.train mobilenetv2 --data DIR --out runs/first --resume

CONFIG is a settings file, or the name of one in training/configs/. DIR holds NAME.tar and
NAME.csv of each set, as `python -m training.prepare` makes them. In the folder of --out lie
afterwards: NAME.keras (the best epoch, averaged weights), NAME.json (settings, counts,
versions, results), log.csv, history.png, tensorboard/ and checkpoint.npz to go on from.
Ctrl-C leaves the checkpoint; --resume goes on exactly there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engines.tensorflow_engine import start_tensorflow
from errors import DatasetError, EngineError, SinkError, StreamError
from program.options import OneLineParser
from training.fitting.batches import Plan
from training.fitting.checkpoint import Progress, read_progress
from training.fitting.fit import Fit, Job
from training.fitting.held_out import Rows, fold_rows, hold_out
from training.fitting.objectives import make_targets
from training.fitting.run_log import finish, settings_of, summarize
from training.fitting.settings import Settings, read_settings, settings_table, to_toml
from training.fitting.training_data import Data, load_data
from training.result_files import writing

INTERRUPTED = 130
# What may change when a run goes on: neither weights nor order depend on it.
_MAY_CHANGE = ("epochs", "minutes", "patience", "workers")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = OneLineParser(
        prog="python -m training.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", nargs="?", metavar="CONFIG", type=Path)
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data", type=Path, help="folder with NAME.tar and NAME.csv of the sets")
    parser.add_argument("--out", type=Path, help="folder to write to (default: runs/CONFIG)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--cache", type=Path, help="keeps a teacher's answers (default: --out)")
    parser.add_argument("--settings", action="store_true", help="print all settings and end")
    args = parser.parse_args(argv)
    if not args.settings and (args.config is None or args.data is None):
        parser.error("want CONFIG and --data DIR")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    args = parse_args(argv)
    if args.settings:
        for key, default, meaning in settings_table():
            print(f"{key} = {default}\n    {meaning}")
        return 0
    try:
        finished = run(args)
    except StreamError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train: interrupted; --resume goes on with the last checkpoint", file=sys.stderr)
        return INTERRUPTED
    return 0 if finished else INTERRUPTED


def run(args: argparse.Namespace) -> bool:
    """Trains what the command line says; whether it came to its end.

    Raises:
        StreamError: bad settings, data or weights, or a full disk.
    """
    settings = read_settings(args.config, args.set)
    name = args.config.stem
    out = args.out or Path("runs") / name
    _start_keras()
    data = load_data(args.data, settings, args.cache or out)
    if not settings.folds:
        rows = hold_out(data.chips.groups, settings.held_out, settings.seed)
        return train(settings, data, rows, out, name, args) is not None
    results = []
    for k, rows in enumerate(fold_rows(data.chips.groups, settings.folds, settings.seed)):
        print(f"fold {k + 1} of {settings.folds}")
        result = train(settings, data, rows, out / f"fold{k + 1:02d}", name, args)
        if result is None:
            return False
        results.append(result)
    summarize(out / f"{name}.json", results)
    return True


def train(
    settings: Settings,
    data: Data,
    rows: tuple[Rows, Rows],
    out: Path,
    name: str,
    args: argparse.Namespace,
) -> dict[str, Any] | None:
    """Fits, measures and records one network.

    Args:
        settings: of the run.
        data: all rows.
        rows: those to learn and those held out.
        out: folder to write to.
        name: of the files.
        args: `data` and `resume` of the command line.

    Returns:
        Its record; None where it was interrupted.

    Raises:
        StreamError: bad data or weights, another run in `out`, or a full disk.
    """
    import keras

    from training.fitting.networks import build_network

    learnt, held_out = rows
    if len(learnt) < settings.batch:
        raise DatasetError(
            f"{len(learnt)} chips to learn do not fill a batch of {settings.batch}; "
            "set a smaller batch or add rows"
        )
    progress = _progress(out / "checkpoint.npz", settings, data.digest, args.resume)
    with writing(out / "settings.toml") as part:
        part.write_text(to_toml(settings), "utf-8")
    keras.backend.clear_session()
    keras.utils.set_random_seed(settings.seed)
    model = build_network(settings)
    job = _job(settings, data, rows, int(model.inputs[0].shape[1]), out, name)
    print(
        f"{len(learnt)} chips to learn, {len(held_out)} held out, {model.count_params()} weights, "
        f"{job.plan.steps} steps an epoch on {keras.backend.backend()}"
    )
    fit = Fit(job, model, progress)
    if not fit.run():
        print(
            f"train: interrupted in epoch {progress.epoch + 1}; the same command with --resume "
            "goes on there",
            file=sys.stderr,
        )
        return None
    return finish(job, data, progress, args.data)


def _job(
    settings: Settings, data: Data, rows: tuple[Rows, Rows], size: int, out: Path, name: str
) -> Job:
    learnt, held_out = rows
    targets = make_targets(data.chips, settings, data.answers)
    chances = targets.chances
    if chances is not None:
        chances = chances[learnt] / chances[learnt].sum()
    plan = Plan(learnt, chances, settings.batch, size, settings.strength, settings.seed)
    taught, held = data.answers is not None, data.chips.take(held_out)
    return Job(settings, data.chips.images, targets, plan, held, taught, out, name)


def _progress(checkpoint: Path, settings: Settings, digest: str, resume: bool) -> Progress:
    """Where to begin: at the start, or where the checkpoint is.

    Raises:
        SinkError: there is a run that must not be written over, or another one.
        WeightsError: the checkpoint cannot be read.
    """
    of = {k: v for k, v in settings_of(settings).items() if k not in _MAY_CHANGE}
    of["data"] = digest
    if not checkpoint.exists():
        return Progress(of=of)
    if not resume:
        raise SinkError(
            f"{checkpoint.parent} holds a run already; add --resume to go on with it, or choose "
            "another --out"
        )
    progress = read_progress(checkpoint)
    differing = [key for key in of if progress.of.get(key) != of[key]]
    if differing:
        raise SinkError(
            f"the run in {checkpoint.parent} has other {', '.join(differing)}; "
            "choose another --out or the same settings"
        )
    return progress


def _start_keras() -> None:
    """Imports Keras quietly; EngineError where its backend is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import cv2
        import keras

        if keras.backend.backend() == "tensorflow":
            start_tensorflow()
    except ImportError as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise EngineError(
            f"Keras cannot run on {backend}: {error}; install it, or set KERAS_BACKEND to "
            "tensorflow, jax or torch"
        ) from error
    cv2.setNumThreads(1)


if __name__ == "__main__":
    sys.exit(main())
