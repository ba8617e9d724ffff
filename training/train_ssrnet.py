"""Trains the SSR-Net on labelled chips, with a larger network as its teacher.

    python -m training.train_ssrnet --data DIR --sets fairface --teacher TEACHER.keras \
        --out weights/ssrnet_fairface.keras --minutes 40

Writes FILE.keras (best epoch on rows held out of the train split, averaged weights, no
optimizer state), FILE.last.keras (after every epoch), FILE.csv (a line for each epoch)
and FILE.json (settings, counts, versions, metrics on the test split, which is read only
after training has ended). Bad input is one line on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import DatasetError, StreamError
from training.chips import join, load_chips, shrink
from training.ssrnet_fit import Fit, metrics
from training.ssrnet_targets import batches, targets, teacher_answers

_HELD_OUT = 0.04


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.train_ssrnet",
        description="Train the SSR-Net for age and gender on aligned face chips.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_inputs(parser.add_argument)
    _add_fitting(parser.add_argument)
    args = parser.parse_args(argv)
    if args.out.suffix != ".keras":
        parser.error(f"--out must end in .keras, got {args.out}")
    if min(args.epochs, args.batch, args.threads) < 1 or not 0 <= args.strength <= 1:
        parser.error("want --epochs, --batch, --threads of 1 or more and --strength in 0..1")
    return args


def _add_inputs(add: Any) -> None:
    add("--data", type=Path, required=True, help="folder with NAME.tar and NAME.csv")
    add("--sets", nargs="+", default=["fairface"], help="sets to learn")
    add("--out", type=Path, required=True, help="weights to write, FILE.keras")
    add(
        "--init",
        type=Path,
        help="start from these weights and widths; the same --seed holds out the same rows",
    )
    add("--teacher", type=Path, help="larger network whose answers are learnt too")
    add("--teacher-outputs", type=Path, help="npz to keep the teacher's answers in, for reruns")
    add("--width", choices=("published", "wide"), default="wide", help="size without --init")
    add("--threads", type=int, default=2, help="threads of the network")
    add("--limit", type=int, help="only so many rows of each set, for trials")
    add("--seed", type=int, default=0, help="seed of weights, order and augmentation")


def _add_fitting(add: Any) -> None:
    add("--epochs", type=int, default=40, help="most passes over the train rows")
    add("--minutes", type=float, help="most minutes of fitting; the schedule fits itself to it")
    add("--batch", type=int, default=64, help="chips in a step")
    add("--rate", type=float, default=2e-3, help="highest learning rate")
    add("--decay", type=float, default=0.01, help="weight decay of kernels")
    add("--dropout", type=float, default=0.0, help="dropout of the fused features")
    add("--balance", type=float, default=0.5, help="0 draws chips, 1 decades of age, equally often")
    add("--strength", type=float, default=0.6, help="strength of augmentation, 0..1")


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    args = parse_args(argv)
    try:
        for path in (args.init, args.teacher):
            if path and not path.is_file():
                raise DatasetError(f"no such weights: {path}")
        train(args)
    except StreamError as error:
        print(f"train_ssrnet: {error}", file=sys.stderr)
        return 2
    return 0


def train(args: argparse.Namespace) -> None:
    """Loads, fits, measures and writes everything that the module docstring names.

    Raises:
        DatasetError: A set is unknown, missing, damaged or too small for one batch.
    """
    sets = {name: load_chips(args.data, name, "train", args.limit) for name in args.sets}
    chips = join(list(sets.values()))
    rng = np.random.default_rng(args.seed)
    held_out, rows = np.split(rng.permutation(len(chips)), [math.ceil(_HELD_OUT * len(chips))])
    if len(rows) < args.batch:
        raise DatasetError(f"{len(rows)} chips to learn do not fill a batch of {args.batch}")
    _start_keras(args.threads, args.seed)
    answers = args.teacher and teacher_answers(args.teacher, sets, args.teacher_outputs)
    model = network(args, chips.take(rows[:2048]).images)
    print(f"{len(rows)} chips to learn, {len(held_out)} held out, {model.count_params()} weights")

    args.out.parent.mkdir(parents=True, exist_ok=True)
    run = Fit(args, model, max(1, len(rows) // args.batch), chips.take(held_out))
    wanted = targets(chips, answers)
    run.run(batches(chips, rows, wanted, args.batch, args.strength, rng, args.balance))
    model.load_weights(args.out)
    counts = {"train": len(rows), "held_out": len(held_out)}
    done = _record(args, model) | {"rows": counts, "best": run.best}
    args.out.with_suffix(".json").write_text(json.dumps(done, indent=2) + "\n", "utf-8")
    print(json.dumps(done["test"], indent=2))


def network(args: argparse.Namespace, images: NDArray[np.uint8]) -> Any:
    """Gives the network to train, that of `--init` or a new one, its first norms frozen.

    Batch statistics of the two 62 x 62 maps cost a quarter of a step on a CPU. The pixels
    below them keep their statistics, so they are measured once, on `images`, and kept.
    """
    import keras

    from estimators import ssrnet

    if args.init:
        model = keras.saving.load_model(args.init, compile=False)
    else:
        sizes = ssrnet.WIDE if args.width == "wide" else {}
        model = ssrnet.build(**sizes, dropout=args.dropout)
    for stream in ("stream1", "stream2"):
        norm = model.get_layer(f"{stream}_bn1")
        norm.trainable = False
        if not args.init:
            maps = keras.Model(model.input, model.get_layer(f"{stream}_conv1").output)
            values = maps.predict(shrink(images, ssrnet.INPUT_SIZE).astype(np.float32), verbose=0)
            norm.moving_mean.assign(values.mean((0, 1, 2)))
            norm.moving_variance.assign(values.var((0, 1, 2)))
    return model


def _record(args: argparse.Namespace, model: Any) -> dict[str, Any]:
    """What is written about a run: settings, versions, test metrics, the run it went on from."""
    there = sorted(path.stem for path in args.data.glob("*.tar"))
    before = args.init and args.init.with_suffix(".json")
    return {
        "settings": {k: v.name if isinstance(v, Path) else v for k, v in vars(args).items()},
        "parameters": model.count_params(),
        "versions": _versions(),
        "test": {name: metrics(model, load_chips(args.data, name, "test")) for name in there},
        "init": json.loads(before.read_text("utf-8")) if before and before.exists() else None,
    }


def _start_keras(threads: int, seed: int) -> None:
    """Seeds Keras; keeps OpenCV to one thread and TensorFlow to `threads`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import cv2
    import keras

    keras.utils.set_random_seed(seed)
    cv2.setNumThreads(1)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Too late, and no harm, where TensorFlow is already running in this process.
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)


def _versions() -> dict[str, str]:
    """Versions of what made the weights, and the git commit where there is one."""
    import cv2
    import keras

    found = {"python": platform.python_version(), "numpy": np.__version__}
    found |= {"opencv": cv2.__version__, "keras": keras.__version__}
    found["backend"] = keras.backend.backend()
    command = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return found
    return found | {"commit": done.stdout.strip()}


if __name__ == "__main__":
    sys.exit(main())
