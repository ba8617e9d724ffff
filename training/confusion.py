"""Count how often a network takes people of one group for those of another.

    python -m training.confusion NAME --data DIR --sets utkface
    python -m training.confusion FILE.keras --data DIR --sets fairface

The numbers go into weights/manifest.json (of a FILE into FILE's .json), from where the programs
correct their counts of groups: `people.correction`, which also says what a group is. Only rows of
the split `train` count that the network never learnt from: all of a set that it was not trained
on, else those held out of its training, as the .json file beside it says which. Test rows are
not used, so that what is measured on them stays fair.
"""

import argparse
import json
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from errors import WeightsError
from estimators import Estimator, make_estimator
from estimators.weights import MANIFEST, read_manifest
from files import write_whole
from people.correction import GROUPS, group_of
from program.options import OneLineParser, number
from structures import Estimates
from training.chips import Chips, join, load_chips, load_train, set_name, shrink
from training.fitting.held_out import hold_out
from training.judging.contenders import estimate_all, load
from training.records import read_record, sets_learnt, words
from training.tools import run_tool
from training.train_heads import old_enough


def learnt_nothing_from(
    name: str,
    sets: Sequence[str],
    record: dict[str, Any],
    learnt: Collection[str],
    data: Path,
    same_before: bool = False,
) -> Chips:
    """Return the train rows of some sets that a network never learnt from.

    Args:
        name: of the network, for messages.
        sets: their names.
        record: of its training, as in the .json file beside it; empty = there is none.
        learnt: the names of the sets that it was trained on.
        data: folder that holds the sets.
        same_before: whether the weights that it began with had the same rows held out.

    Raises:
        WeightsError: it learnt from all rows of a set, or nobody knows which it did not.
        DatasetError: a set is missing or damaged.
    """
    known = [each for each in sets if each in learnt]
    parts = [load_chips(data, each, "train") for each in sets if each not in known]
    if known:
        parts.append(held_out_rows(name, known, record, data, same_before))
    return join(parts)


def held_out_rows(
    name: str, sets: Sequence[str], record: dict[str, Any], data: Path, same_before: bool = False
) -> Chips:
    """Return the rows of some sets that were held out of a training; see above."""
    settings = record.get("settings", {})
    of_run = [set_name(each) for each in settings.get("sets", [])]
    ours = set(sets) <= set(of_run)
    if not ours or not settings.get("held_out") or settings.get("folds"):
        raise WeightsError(
            f"{name} learnt from {', '.join(sets)}, and no record of its training says from "
            "which rows it did not; choose other --sets"
        )
    if settings.get("init") and not same_before:
        raise WeightsError(
            f"{name} began with the weights {settings['init']}, which may have learnt from the "
            "rows held out; choose other --sets, or add --same-before if they did not"
        )
    chips, limit = [], settings.get("limit") or None
    for each in settings["sets"]:
        chips.append(load_train(data, each, limit))
    whole = join(chips)
    of_set = np.repeat(np.arange(len(chips)), [len(one) for one in chips])
    old = old_enough(whole, settings.get("min_age", 0))
    whole, of_set = whole.take(old), of_set[old]
    learnt, out = hold_out(whole.groups, settings["held_out"], settings["seed"])
    if len(learnt) != record["data"]["learnt"]["rows"]:
        raise WeightsError(f"{name} was trained on other rows than those of {data}")
    asked = np.isin(np.array(of_run)[of_set[out]], sets)
    return whole.take(out[asked])


def groups_of(estimates: Estimates, chips: Chips) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the true groups of faces and those told, places in `people.correction.GROUPS`.

    `(N,)` int64 each; faces of unknown age or gender are left out. A range belongs to the band
    of its middle.
    """
    middles = (chips.age_low + chips.age_high) / 2
    rows = np.flatnonzero(np.isfinite(middles) & np.isfinite(chips.female))

    def groups(female: NDArray[np.float32], years: NDArray[np.floating]) -> NDArray[np.int64]:
        pairs = zip(female[rows] > 0.5, years[rows], strict=True)
        return np.array([group_of(bool(f), float(age)) for f, age in pairs], np.int64)

    return groups(chips.female, middles), groups(estimates.female_prob, estimates.age_years)


def confusion(estimates: Estimates, chips: Chips) -> NDArray[np.int64]:
    """Count faces by their group (rows) and by the group that is told (columns), (10, 10) int64."""
    counts = np.zeros((len(GROUPS), len(GROUPS)), np.int64)
    np.add.at(counts, groups_of(estimates, chips), 1)
    return counts


def write_confusion(name: str, counts: NDArray[np.int64], of: str) -> Path:
    """Write a network's confusion into the manifest, or into the record beside its file.

    `of` says in words on which faces it was counted. Returns the file that was written.
    """
    path = MANIFEST if name in read_manifest()["models"] else Path(name).with_suffix(".json")
    whole = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    entry = whole["models"][name] if path == MANIFEST else whole
    lines = [" ".join(map(str, row)) for row in counts.tolist()]
    entry["confusion"] = {"of": of, "faces": lines}
    text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    write_whole(path, text.encode())
    return path


def run(options: argparse.Namespace, make: Callable[..., Estimator]) -> None:
    """Do what the command line says; StreamError where it cannot be done."""
    entry = read_manifest()["models"].get(options.weights, {})
    path = MANIFEST.parent / f"{options.weights}.json"
    record_path = path if entry else Path(options.weights).with_suffix(".json")
    record = read_record(record_path)
    learnt = words(entry["trained_on"]) if entry else sets_learnt(record)
    if learnt is None:
        raise WeightsError(
            f"no record of its training says which sets {options.weights} learnt from; "
            f"list them as learnt_from in {record_path}"
        )
    chips = learnt_nothing_from(
        options.weights, options.sets, record, learnt, options.data, options.same_before
    )
    some = np.linspace(0, len(chips) - 1, min(len(chips), options.limit or len(chips)))
    chips = chips.take(some.astype(np.int64))
    estimator = load([options.weights], None, make, threads=options.threads)[0].estimator
    with tqdm(total=len(chips), unit="face", disable=None) as bar:
        images = shrink(chips.images, estimator.input_size)
        estimates = estimate_all(estimator, images, bar.update)
    counts = confusion(estimates, chips)
    of = f"{counts.sum():,} train rows of {', '.join(options.sets)}, never learnt from"
    print(f"{write_confusion(options.weights, counts, of)}: {of}")


def main(
    arguments: Sequence[str] | None = None, make: Callable[..., Estimator] = make_estimator
) -> int:
    """Run the command; return the exit code."""
    parser = OneLineParser(
        prog="python -m training.confusion", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("weights", metavar="NAME|FILE", help="a model of weights/manifest.json, or your own file")
    add("--data", type=Path, required=True, metavar="DIR", help="folder that holds the sets")
    add("--sets", nargs="+", required=True, metavar="NAME")
    add("--same-before", action="store_true",
        help="the weights that its training began with (init) had the same rows held out"
    )  # fmt: skip
    add("--limit", type=number(int, 1), metavar="N", help="only N faces, spread evenly")
    add("--threads", type=number(int, 1, 1024), default=0, metavar="N", help="default: all")
    options = parser.parse_args(arguments)
    return run_tool("confusion", lambda: run(options, make))


if __name__ == "__main__":
    sys.exit(main())
