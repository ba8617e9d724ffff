"""Train heads on embeddings: age, gender and ethnicity in minutes on a CPU.

    python -m training.embeddings fairface --data DIR --out EMB
    python -m training.train_heads facenet_heads --embeddings EMB --out runs/heads
    python -m training.train_heads facenet_published --embeddings EMB --set sets=utkface min_age=10

CONFIG is a settings file, or the name of one in training/configs/. EMB holds what
`python -m training.embeddings` wrote about each set. In the folder of --out lie afterwards
NAME.keras (the best epoch on held-out rows, averaged weights), NAME.json (settings, counts,
versions, results, also on the test rows where EMB has them), log.csv and history.png.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engines.tensorflow_engine import start_tensorflow
from errors import DatasetError, StreamError
from estimators.networks.facenet_heads import build_modern, build_published
from program.options import OneLineParser
from training.chips import Chips, join
from training.fitting.heads_fit import Data, Fit, predict
from training.fitting.held_out import Rows, hold_out, metrics, spread_scale
from training.fitting.run_log import counts, settings_of, versions, write_record
from training.fitting.settings import Settings, read_settings
from training.fitting.vectors import read_record, read_vectors

_INTERRUPTED = 130


def load_data(folder: Path, settings: Settings) -> Data:
    """Reads the train rows of all sets.

    Raises:
        DatasetError: embeddings are missing or damaged, of different networks, or too few.
    """
    parts = [read_vectors(folder, name, "train", settings.vector) for name in settings.sets]
    kinds = {str(read_record(folder, name)["embedder"]) for name in settings.sets}
    shapes = {part.views[settings.vector].shape[::2] for part in parts}
    if len(kinds | shapes) != 2:
        raise DatasetError(
            f"the embeddings of {', '.join(settings.sets)} in {folder} are of different networks "
            "or views; make them alike with training.embeddings"
        )
    chips = join([part.chips for part in parts])
    views = np.concatenate([part.views[settings.vector] for part in parts], axis=1)
    old = old_enough(chips, settings.min_age)
    chips, views = chips.take(old), views[:, old]
    learnt, held_out = hold_out(chips.groups, settings.held_out, settings.seed)
    if len(learnt) < settings.batch:
        raise DatasetError(
            f"{len(learnt)} faces to learn do not fill a batch of {settings.batch}; "
            "set a smaller batch or add rows"
        )
    return Data(chips, views, learnt, held_out)


def old_enough(chips: Chips, min_age: int) -> Rows:
    """Rows of people of at least `min_age` for sure; those of unknown age only where it is 0."""
    if min_age == 0:
        return np.arange(len(chips))
    return np.flatnonzero(chips.age_low >= min_age)


def build(settings: Settings, data: Data) -> Any:
    """The network of `settings`, its input standardised by the rows to learn.

    Raises:
        DatasetError: the settings fit no heads.
    """
    width, heads = data.views.shape[2], settings.heads()
    if settings.age == "ssr" or settings.architecture != "facenet":
        raise DatasetError("heads want architecture = 'facenet' and an age other than 'ssr'")
    if settings.network == "published":
        return build_published(settings.vector, width, heads, settings.l2)
    if not heads.hidden:
        raise DatasetError("network = 'modern' wants hidden of at least 1")
    model = build_modern(settings.vector, width, heads, settings.blocks, settings.input_dropout)
    some = data.learnt[:: max(1, len(data.learnt) // 8192)]
    vectors = data.views[0, some].astype(np.float32)
    model.get_layer("standardise").set_weights([vectors.mean(0), vectors.var(0)])
    return model


def results_on_test(
    model: Any, folder: Path, settings: Settings, embedder: str
) -> dict[str, dict[str, float]]:
    """Results on the test rows of every set in the folder that has some.

    Keys: NAME of all people, NAME_10 of those of at least 10 years; with `_mirrored` the
    answers are the mean of those about the chip and its mirror image.
    """
    found = {}
    for name in sorted(path.stem for path in folder.glob("*.embeddings")):
        record = read_record(folder, name)
        if "test" not in record["parts"] or record["embedder"] != embedder:
            continue
        vectors = read_vectors(folder, name, "test", settings.vector)
        for age, title in ((0, name), (10, f"{name}_10")):
            rows = old_enough(vectors.chips, age)
            for views in range(1, min(2, record["views"]) + 1):
                answers = predict(model, vectors.views[settings.vector][:views, rows])
                key = title + "_mirrored" * (views > 1)
                found[key] = metrics(answers, vectors.chips.take(rows))
    return found


def train(settings: Settings, folder: Path, out: Path, name: str) -> dict[str, Any]:
    """Fits, measures and records heads.

    Args:
        settings: of the run.
        folder: of the embeddings.
        out: folder to write to.
        name: of the files.

    Returns:
        The record.

    Raises:
        StreamError: bad settings or embeddings, or a file cannot be written.
    """
    import keras

    keras.utils.set_random_seed(settings.seed)
    data = load_data(folder, settings)
    model = build(settings, data)
    print(
        f"{len(data.learnt)} faces to learn, {len(data.held_out)} held out, "
        f"{model.count_params()} weights"
    )
    target = out / f"{name}.keras"
    fit = Fit(settings, data, model, target)
    fit.run()
    best = keras.models.load_model(target, compile=False)
    held_out = data.chips.take(data.held_out)
    answers = predict(best, data.views[:1, data.held_out])
    embedder = str(read_record(folder, settings.sets[0])["embedder"])
    record = {
        "architecture": settings.architecture,
        "settings": settings_of(settings),
        "embedder": embedder,
        "views": len(data.views),
        "parameters": model.count_params(),
        "data": {"learnt": counts(data.chips.take(data.learnt)), "held_out": counts(held_out)},
        "best": fit.best,
        "spread_scale": spread_scale(answers, held_out),
        "test": results_on_test(best, folder, settings, embedder),
        "versions": versions(),
    }
    write_record(target.with_suffix(".json"), record)
    return record


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0, 2 after one line on what is wrong, 130."""
    parser = OneLineParser(
        prog="python -m training.train_heads",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", metavar="CONFIG", type=Path)
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    parser.add_argument("--embeddings", type=Path, required=True, metavar="EMB")
    parser.add_argument("--out", type=Path, help="folder to write to (default: runs/CONFIG)")
    args = parser.parse_args(argv)
    name = args.config.stem
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        settings = read_settings(args.config, args.set)
        start_tensorflow()
        record = train(settings, args.embeddings, args.out or Path("runs") / name, name)
    except StreamError as error:
        print(f"train_heads: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train_heads: interrupted; the best epoch so far is kept", file=sys.stderr)
        return _INTERRUPTED
    for key, values in {"held out": record["best"], **record["test"]}.items():
        shown = ("age_mae_years", "gender_accuracy", "ethnicity_accuracy")
        print(f"{key}: " + ", ".join(f"{n} {values[n]:.4g}" for n in shown if n in values))
    return 0


if __name__ == "__main__":
    sys.exit(main())
