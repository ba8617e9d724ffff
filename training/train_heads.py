"""Train heads on embeddings: age, gender and ethnicity in minutes on a CPU.

    python -m training.embeddings fairface --data DIR --out EMB
    python -m training.train_heads facenet_heads --embeddings EMB --out runs/heads
    python -m training.train_heads facenet_published --embeddings EMB --set sets=utkface min_age=10

CONFIG is a settings file, or the name of one in training/configs/. EMB holds what
`python -m training.embeddings` wrote about each set. The folder of --out then holds
NAME.keras (the best epoch on held-out rows, averaged weights), NAME.json (settings, counts,
versions, results, also on the test rows where EMB has them), log.csv, history.png,
tensorboard/ and checkpoint.npz, from which --resume resumes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engines.tensorflow_engine import start_tensorflow
from errors import DatasetError, StreamError
from estimators.networks.facenet_heads import build_modern, build_published
from program.options import OneLineParser
from training.chips import Chips, join
from training.fitting.checkpoint import begin
from training.fitting.fit import Batches, Fit, FitTask
from training.fitting.held_out import Rows, hold_out, metrics, predict_vectors
from training.fitting.objectives import Targets, make_targets
from training.fitting.run_log import label_counts
from training.fitting.settings import TrainingSettings, read_settings
from training.fitting.training_data import digest_of, require_labels
from training.fitting.vectors import Half, read_record, read_vectors
from training.result_files import write_json
from training.train import INTERRUPTED, facts, load_kept, require_batch, show

# Settings of networks that see chips, and of what is varied or taught there.
_UNUSED = ("backbone", "init", "age_blur", "width", "wide", "size", "limit", "folds", "epoch_steps",
           "frozen_epochs", "frozen_rate", "frozen_share", "frozen_norms", "workers", "strength",
           "teacher", "teacher_weight", "teacher_slack", "imitate", "imitate_weight")  # fmt: skip
_SHOWN = ("age_mae_years", "gender_accuracy", "ethnicity_accuracy")


@dataclass(frozen=True, slots=True)
class HeadsData:
    """Training data of heads.

    Attributes:
        chips: the labels, all sets concatenated.
        views: (V, N, W) float16, see `training.fitting.vectors`.
        learnt: rows to train on.
        held_out: rows to choose the epoch by; no group is in both.
    """

    chips: Chips
    views: Half
    learnt: Rows
    held_out: Rows

    def batches(
        self, settings: TrainingSettings, targets: Targets, epoch: int, start: int
    ) -> Batches:
        """Yield every training row once, or as often as it is drawn, in one of its views."""
        rng = np.random.default_rng([settings.seed, epoch])
        order = rng.permutation(self.learnt)
        if targets.chances is not None:
            chances = targets.chances[order]
            order = rng.choice(order, len(order), p=chances / chances.sum())
        for step in range(len(order) // settings.batch):
            rows = order[step * settings.batch : (step + 1) * settings.batch]
            view = rng.integers(0, len(self.views), len(rows))
            if step >= start:
                yield self.views[view, rows].astype(np.float32), rows  # (B, W)


def load_data(folder: Path, settings: TrainingSettings) -> HeadsData:
    """Read the train rows of all sets.

    Raises:
        DatasetError: embeddings are missing or damaged, of different networks, or too few.
    """
    parts = [read_vectors(folder, name, "train", settings.vector) for name in settings.sets]
    kinds = {str(read_record(folder, name)["embedder"]) for name in settings.sets}
    shapes = {part.views[settings.vector].shape[::2] for part in parts}
    if len(kinds | shapes) != 2:
        raise DatasetError(
            f"the embeddings of {', '.join(settings.sets)} in {folder} are of different networks "
            "or views; make them again in the same way with training.embeddings"
        )
    chips = join([part.chips for part in parts])
    views = np.concatenate([part.views[settings.vector] for part in parts], axis=1)
    old = old_enough(chips, settings.min_age)
    chips, views = chips.take(old), views[:, old]
    require_labels(chips, settings, {})
    learnt, held_out = hold_out(chips.groups, settings.held_out, settings.seed)
    require_batch(learnt, settings, "faces")
    return HeadsData(chips, views, learnt, held_out)


def old_enough(chips: Chips, min_age: int) -> Rows:
    """Return rows surely of at least `min_age`; those of unknown age only if it is 0."""
    if min_age == 0:
        return np.arange(len(chips))
    return np.flatnonzero(chips.age_low >= min_age)


def build(settings: TrainingSettings, data: HeadsData) -> Any:
    """Build the network of `settings`, its input standardised by the training rows.

    DatasetError if no heads can be built from the settings.
    """
    width, heads = data.views.shape[2], settings.heads()
    if settings.age == "ssr" or settings.architecture != "facenet":
        raise DatasetError("heads need architecture = 'facenet' and an age other than 'ssr'")
    if settings.network == "published":
        return build_published(settings.vector, width, heads, settings.l2)
    if not heads.hidden:
        raise DatasetError("network = 'modern' needs hidden of at least 1")
    model = build_modern(settings.vector, width, heads, settings.blocks, settings.input_dropout)
    some = data.learnt[:: max(1, len(data.learnt) // 8192)]
    vectors = data.views[0, some].astype(np.float32)
    model.get_layer("standardise").set_weights([vectors.mean(0), vectors.var(0)])
    return model


def results_on_test(
    model: Any, folder: Path, settings: TrainingSettings, embedder: str
) -> dict[str, dict[str, float]]:
    """Return the results on the test rows of every set in the folder that has some.

    Keys: NAME for all people, NAME_10 for those of at least 10 years; with `_mirrored` the
    answers are averaged over the chip and its mirror image.
    """
    found = {}
    for name in sorted(path.stem for path in folder.glob("*.embeddings")):
        record = read_record(folder, name)
        if "test" not in record["parts"] or record["embedder"] != embedder:
            continue
        vectors = read_vectors(folder, name, "test", settings.vector)
        for age, title in ((0, name), (10, f"{name}_10")):
            rows = old_enough(vectors.chips, age)
            if not len(rows):
                continue
            for views in range(1, min(2, record["views"]) + 1):
                answers = predict_vectors(model, vectors.views[settings.vector][:views, rows])
                key = title + "_mirrored" * (views > 1)
                found[key] = metrics(answers, vectors.chips.take(rows))
    return found


def train(
    settings: TrainingSettings, folder: Path, out: Path, name: str, resume: bool = False
) -> dict[str, Any] | None:
    """Fit, measure and record heads; return the record, or None if interrupted.

    `folder` has the embeddings; NAME.keras and the other files go to `out`. `resume` resumes
    the run there instead of starting over.

    Raises:
        StreamError: bad settings or embeddings, or a file cannot be written.
    """
    import keras

    keras.utils.set_random_seed(settings.seed)
    data = load_data(folder, settings)
    digest = digest_of(data.chips, *data.chips.labels, data.views)
    progress = begin(out, settings, digest, resume, overwrite=True)
    model = build(settings, data)
    print(
        f"{len(data.learnt)} faces to train on, {len(data.held_out)} held out, "
        f"{model.count_params()} weights"
    )
    targets, held_out = make_targets(data.chips, settings), data.chips.take(data.held_out)
    batches = partial(data.batches, settings, targets)
    predict_held_out = partial(predict_vectors, views=data.views[:1, data.held_out])
    steps = len(data.learnt) // settings.batch
    task = FitTask(settings, targets, steps, batches, predict_held_out, held_out, out, name)
    if not Fit(task, model, progress).run():
        return None
    best = load_kept(task)
    embedder = str(read_record(folder, settings.sets[0])["embedder"])
    learnt = label_counts(data.chips.take(data.learnt))
    record = facts(task, best) | {
        "embedder": embedder,
        "views": len(data.views),
        "data": {"learnt": learnt, "held_out": label_counts(held_out)},
        "best": progress.best,
        "test": results_on_test(best, folder, settings, embedder),
    }
    write_json(out / f"{name}.json", record)
    return record


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 2 after a one-line error, or 130 after Ctrl-C."""
    parser = OneLineParser(
        prog="python -m training.train_heads",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", metavar="CONFIG", type=Path)
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    parser.add_argument("--embeddings", type=Path, required=True, metavar="EMB")
    parser.add_argument("--out", type=Path, help="folder to write to (default: runs/CONFIG)")
    parser.add_argument("--resume", action="store_true", help="resume the run in --out")
    args = parser.parse_args(argv)
    name = args.config.stem
    out = args.out or Path("runs") / name
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        settings = read_settings(args.config, args.set, _UNUSED)
        start_tensorflow()
        record = train(settings, args.embeddings, out, name, args.resume)
    except StreamError as error:
        print(f"train_heads: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        record = None
    if record is None:
        print(
            "train_heads: interrupted; the best epoch so far is kept; resume with --resume",
            file=sys.stderr,
        )
        return INTERRUPTED
    show({"held out": record["best"], **record["test"]}, _SHOWN)
    return 0


if __name__ == "__main__":
    sys.exit(main())
