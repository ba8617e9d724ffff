"""Train a network on labelled chips.

    python -m training.train mobilenetv2 --data DIR --out runs/first
    python -m training.train my.toml --set epochs=10 batch=64 --data DIR --out runs/second
    python -m training.train mobilenetv2 --data DIR --out runs/first --resume

CONFIG is a settings file, or the name of one in training/configs/. DIR holds NAME.tar and
NAME.csv of each set, as `python -m training.prepare` makes them. The folder of --out then
holds NAME.keras (the best epoch, averaged weights), NAME.json (settings, counts, versions,
results), log.csv, history.png, tensorboard/ and checkpoint.npz.
Ctrl-C leaves the checkpoint; --resume resumes exactly there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engines.tensorflow_engine import start_tensorflow
from errors import DatasetError, EngineError, StreamError
from program.options import OneLineParser
from training.chips import load_chips, set_name
from training.fitting.batches import BatchPlan, Loader
from training.fitting.checkpoint import Progress, begin
from training.fitting.fit import Fit, FitTask
from training.fitting.held_out import Rows, fold_rows, hold_out, metrics, predict, spread_scale
from training.fitting.imitation import with_imitation
from training.fitting.networks import build_network, normalises_features, settle, settling
from training.fitting.objectives import Targets, make_targets
from training.fitting.run_log import label_counts, made_with
from training.fitting.settings import TrainingSettings, read_settings, settings_table, to_toml
from training.fitting.spreads import written
from training.fitting.training_data import TrainingData, load_data
from training.labels import read_table
from training.records import learnt_from
from training.result_files import write_bytes, write_json

INTERRUPTED = 130


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = OneLineParser(
        prog="python -m training.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", nargs="?", metavar="CONFIG", type=Path)
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data", type=Path, help="folder with NAME.tar and NAME.csv of the sets")
    parser.add_argument("--out", type=Path, help="folder to write to (default: runs/CONFIG)")
    parser.add_argument("--resume", action="store_true", help="resume the run in --out")
    parser.add_argument("--cache", type=Path, help="folder of a teacher's outputs (default: --out)")
    parser.add_argument("--settings", action="store_true", help="print all settings and exit")
    args = parser.parse_args(argv)
    if not args.settings and (args.config is None or args.data is None):
        parser.error("CONFIG and --data DIR are required")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
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
        print(
            "train: interrupted; --resume restarts from the last checkpoint",
            file=sys.stderr,
        )
        return INTERRUPTED
    return 0 if finished else INTERRUPTED


def run(args: argparse.Namespace) -> bool:
    """Train as the command line says; return whether all of it is finished.

    Raises:
        StreamError: bad settings, data or weights, or a full disk.
    """
    settings = read_settings(args.config, args.set)
    name = args.config.stem
    out = args.out or Path("runs") / name
    _start_keras()
    data = load_data(args.data, settings, args.cache or out)
    groups = data.chips.groups
    if not settings.folds:
        rows = hold_out(groups, settings.held_out, settings.seed)
        return train(settings, data, rows, out, args) is not None
    results = []
    for k, rows in enumerate(fold_rows(groups, settings.folds, settings.seed)):
        print(f"fold {k + 1} of {settings.folds}")
        result = train(settings, data, rows, out / f"fold{k + 1:02d}", args)
        if result is None:
            return False
        results.append(result["held_out"])
    summarize(out / f"{name}.json", results)
    return True


def train(
    settings: TrainingSettings,
    data: TrainingData,
    rows: tuple[Rows, Rows],
    out: Path,
    args: argparse.Namespace,
) -> dict[str, Any] | None:
    """Fit, measure and record one network; return its record, or None if interrupted.

    `rows` are those to train on and those held out; the files go to `out`.

    Raises:
        StreamError: bad data or weights, another run in `out`, or a full disk.
    """
    import keras

    learnt, held_out = rows
    require_batch(learnt, settings, "chips")
    progress = begin(out, settings, data.digest, args.resume)
    write_bytes(out / "settings.toml", to_toml(settings).encode())
    model = _fresh_network(settings, data)
    targets = make_targets(data.chips, settings, data.answers, data.vectors)
    plan = _plan(settings, targets, learnt, int(model.inputs[0].shape[1]))
    held, name = data.chips.take(held_out), args.config.stem
    print(
        f"{len(learnt)} chips to train on, {len(held)} held out, {model.count_params()} weights, "
        f"{plan.steps} steps an epoch on {keras.backend.backend()}"
    )
    predict_held_out = partial(predict, images=held.images)
    settled = None
    if normalises_features(model):
        settled = partial(settle, images=data.chips.images[learnt[settling(len(learnt))]])
    with Loader(data.chips.images, plan, settings.workers) as loader:
        task = FitTask(
            settings,
            targets,
            plan.steps,
            loader.batches,
            predict_held_out,
            held,
            out,
            name,
            settled,
        )
        finished = Fit(task, model, progress).run()
    if not finished:
        print(
            f"train: interrupted in epoch {progress.epoch + 1}; the same command with --resume "
            "continues there",
            file=sys.stderr,
        )
        return None
    begun_with = [Path(settings.init)] if settings.init else []
    record = _measured(task, progress, args.data) | {
        "learnt_from": learnt_from(settings.sets, begun_with),
        "data": {"learnt": label_counts(data.chips.take(learnt)), "digest": data.digest},
    }
    write_json(out / f"{name}.json", record)
    show({"held out": record["held_out"], **record["test"]})
    return record


def _fresh_network(settings: TrainingSettings, data: TrainingData) -> Any:
    """Return the network of `settings`; its random weights depend on the seed alone."""
    import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(settings.seed)
    model = build_network(settings)
    return model if data.vectors is None else with_imitation(model, data.vectors.shape[1])


def _plan(settings: TrainingSettings, targets: Targets, learnt: Rows, size: int) -> BatchPlan:
    """Return how batches of chips of `size` pixels are drawn from the training rows."""
    chances = targets.chances
    if chances is not None:
        chances = chances[learnt] / chances[learnt].sum()
    how = (settings.batch, size, settings.strength, settings.seed, settings.epoch_steps)
    return BatchPlan(learnt, chances, *how)


def _measured(task: FitTask, progress: Progress, folder: Path) -> dict[str, Any]:
    """Return the record of a finished run: results of the kept epoch on held-out rows."""
    model = load_kept(task)
    found = {"rows": len(task.held_out)} | metrics(task.predict(model), task.held_out)
    return facts(task, model) | {
        "epochs": progress.epoch,
        "minutes": round(progress.minutes, 2),
        "best_epoch": progress.best["epoch"],
        "held_out": found,
        "test": test_results(model, folder, task.settings),
    }


def load_kept(task: FitTask) -> Any:
    """Load the network of the kept epoch."""
    import keras

    return keras.saving.load_model(task.weights, compile=False)


def facts(task: FitTask, model: Any) -> dict[str, Any]:
    """Return what every record holds."""
    return {
        "architecture": task.settings.architecture,
        "settings": task.settings.public(),
        "parameters": model.count_params(),
        "spread_scale": written(spread_scale(task.predict(model), task.held_out)),
        "versions": made_with(),
    }


def require_batch(learnt: Rows, settings: TrainingSettings, what: str) -> None:
    """Raise DatasetError if there are too few training rows for one batch."""
    if len(learnt) < settings.batch:
        raise DatasetError(
            f"{len(learnt)} {what} to train on do not fill a batch of {settings.batch}; "
            "set a smaller batch or add rows"
        )


def test_results(
    model: Any, folder: Path, settings: TrainingSettings
) -> dict[str, dict[str, float]]:
    """Return the results on the test rows of those sets in `folder` that have any."""
    found = {}
    for name in dict.fromkeys(map(set_name, settings.sets)):
        if any(face.split == "test" for face in read_table(folder / f"{name}.csv")):
            chips = load_chips(folder, name, "test", settings.limit or None)
            found[name] = {"rows": len(chips)} | metrics(predict(model, chips.images), chips)
    return found


def summarize(path: Path, results: Sequence[Mapping[str, float]]) -> None:
    """Write and print mean and standard deviation over the folds."""
    summary = {}
    for name in results[0]:
        if name != "rows":
            each = [result[name] for result in results]
            mean, deviation = float(np.mean(each)), float(np.std(each, ddof=1))
            summary[name] = {"mean": mean, "sd": deviation, "folds": each}
            print(f"{name}: {mean:.4g}, sd {deviation:.2g} over {len(results)} folds")
    write_json(path, {"folds": len(results), "held_out": summary})


def show(results: Mapping[str, Mapping[str, float]], only: Sequence[str] = ()) -> None:
    """Print results, one line per set; all of their figures, or some."""
    for name, found in results.items():
        figures = {key: found[key] for key in only if key in found} if only else found
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()))


def _start_keras() -> None:
    """Import Keras quietly; EngineError if its backend is not installed."""
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
