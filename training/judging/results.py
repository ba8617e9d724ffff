"""One network's results on one set, and the files that store them."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from estimators.age import AGE_CLASSES
from files import check_writable, sink_error
from structures import ETHNICITIES, Estimates
from training.chips import Chips
from training.judging.accuracy import (
    Bin,
    Ints,
    age_classes,
    calibration_error,
    class_ratios,
    confusion,
    reliability,
)
from training.judging.calibration import Calibration, calibrations
from training.judging.labelled_photos import Examples
from training.judging.scores import (
    Group,
    Score,
    gender_at_18_30,
    measure,
    ratio_scores,
    six_year_bands,
    spread_over,
)
from training.labels import COLUMNS, GENDERS, as_texts

_SPREADS = ("mae_years", "outside_years", "gender")
# Key, title, names of classes, true and estimated class of each row.
_Question = tuple[str, str, tuple[str, ...], Ints, Ints]


@dataclass(frozen=True, slots=True, eq=False)
class ClassTable:
    """How well the classes of one question are distinguished.

    Attributes:
        key: "gender", "ethnicity", "age7", "age8" or "age12".
        title: as shown.
        names: of the classes.
        counts: `(K, K)` faces by true class (rows) and estimated class (columns).
        scores: "precision 0", "recall 0", "f1 0", "precision 1" ...
    """

    key: str
    title: str
    names: tuple[str, ...]
    counts: Ints
    scores: dict[str, Score]


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One network on one set.

    Attributes:
        model: the network's name.
        examples: the set.
        estimates: its estimates of `examples.chips`, row by row.
        groups: the groups with scores.
        scores: group -> metric -> score.
        tables: of gender, ethnicity and age classes, where labelled and estimated.
        curve: how often a probability of "female" is right; empty if not labelled.
        calibrations: how reliable spreads of age and probabilities of gender are.
        bands: band of six years, or gender at ages 18-30 -> metric -> score.
    """

    model: str
    examples: Examples
    estimates: Estimates
    groups: list[Group]
    scores: dict[str, dict[str, Score]]
    tables: list[ClassTable]
    curve: list[Bin]
    calibrations: list[Calibration]
    bands: dict[str, dict[str, Score]]


def judge(
    model: str,
    examples: Examples,
    estimates: Estimates,
    groups: list[Group],
    schemes: Sequence[int],
    resamples: int,
    seed: int,
) -> Result:
    """Measure a network's estimates; see `Result` and `scores.measure`."""
    chips = examples.chips
    bands = six_year_bands(chips) + gender_at_18_30(chips)
    return Result(
        model,
        examples,
        estimates,
        groups,
        measure(chips, estimates, groups, schemes, resamples, seed),
        class_tables(chips, estimates, schemes, resamples, seed),
        reliability(estimates.female_prob.astype(np.float64), chips.female.astype(np.float64)),
        calibrations(chips, estimates),
        measure(chips, estimates, bands, (), resamples, seed),
    )


def class_tables(
    chips: Chips, estimates: Estimates, schemes: Sequence[int], resamples: int, seed: int
) -> list[ClassTable]:
    """Return tables of the questions that are both labelled and estimated."""
    gender = np.where(np.isnan(chips.female), -1, chips.female == 1).astype(np.int64)
    asked: list[_Question] = [
        ("gender", "Gender", GENDERS, gender, (estimates.female_prob > 0.5).astype(np.int64))
    ]
    if estimates.ethnicity_probs is not None:
        guess = estimates.ethnicity_probs.argmax(axis=1).astype(np.int64)
        asked.append(("ethnicity", "Ethnicity", ETHNICITIES, chips.race, guess))
    for count in schemes:
        names = tuple(f"{low}-{high}" for low, high in AGE_CLASSES[count][:-1])
        names += (f"{AGE_CLASSES[count][-1][0]}+",)
        title = f"Age, {count} classes"
        asked.append((f"age{count}", title, names, *age_classes(chips, estimates, count)))
    found = []
    for key, title, names, truth, guess in asked:
        if (truth >= 0).any():
            parts = class_ratios(truth, guess, len(names))
            rows = truth >= 0
            scores = ratio_scores(parts, chips.groups, rows, resamples, seed)
            counts = confusion(truth, guess, len(names))
            found.append(ClassTable(key, title, tuple(names), counts, scores))
    return found


def make_folder(path: Path) -> None:
    """Make a folder for results, unless it exists; SinkError if it cannot be written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise sink_error(path, error) from error
    check_writable(path / "metrics.json")


def predictions(result: Result) -> bytes:
    """Return a CSV table: a row per face with its labels and estimates.

    Photographs in which no face was found have only labels.
    """
    text = io.StringIO()
    names = [f"{name.lower()}_prob" for name in ETHNICITIES]
    labels, estimates = COLUMNS[:5], result.estimates
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*labels, "age_years", "age_spread_years", "female_prob", *names])
    for i in range(len(estimates)):
        values = [estimates.age_years[i], estimates.age_spread_years[i], estimates.female_prob[i]]
        values += [] if estimates.ethnicity_probs is None else estimates.ethnicity_probs[i].tolist()
        texts = [f"{value:.4g}" for value in values]
        nothing = [""] * (3 + len(names) - len(texts))
        writer.writerow([*as_texts(result.examples.chips.face(i))[:5], *texts, *nothing])
    if (missed := result.examples.missed) is not None:
        nothing = [""] * (3 + len(names))
        writer.writerows([*as_texts(missed.face(i))[:5], *nothing] for i in range(len(missed)))
    return text.getvalue().encode(errors="backslashreplace")


def metrics_json(
    results: Iterable[Result], models: Mapping[str, Mapping[int, float]], about: Mapping[str, Any]
) -> bytes:
    """Return everything measured as JSON; an unknown number is null.

    `models` are name -> batch size -> milliseconds per face; `about` is how it was measured.
    """
    whole = {
        "about": dict(about),
        "models": {name: {"ms_a_face": dict(ms)} for name, ms in models.items()},
        "results": [_as_json(result) for result in results],
    }
    return (json.dumps(_without_nan(whole), indent=1, allow_nan=False) + "\n").encode()


def _as_json(result: Result) -> dict[str, Any]:
    missed = result.examples.missed
    return {
        "model": result.model,
        "set": result.examples.name,
        "faces": len(result.examples.chips),
        "missed": None if missed is None else len(missed),
        "notes": list(result.examples.notes),
        "scores": {
            group: {name: score._asdict() for name, score in found.items()}
            for group, found in result.scores.items()
        },
        "classes": {
            table.key: {
                "names": list(table.names),
                "confusion": table.counts.tolist(),
                "support": table.counts.sum(axis=1).tolist(),
                **{name: score._asdict() for name, score in table.scores.items()},
            }
            for table in result.tables
        },
        "bands": {
            band: {name: score._asdict() for name, score in found.items()}
            for band, found in result.bands.items()
        },
        "spread_over_groups": _spreads(result),
        "calibration": [
            {**one._asdict(), "age_bins": [step._asdict() for step in one.age_bins]}
            for one in result.calibrations
        ],
        "gender_calibration": {
            "error": calibration_error(result.curve),
            "bins": [one._asdict() for one in result.curve],
        },
    }


def _spreads(result: Result) -> dict[str, dict[str, float]]:
    """Return kind of group -> metric -> worst of its groups over their geometric mean."""
    found: dict[str, dict[str, float]] = {}
    for kind in ("gender", "ethnicity", "age"):
        names = [group.name for group in result.groups if group.kind == kind]
        found[kind] = {key: spread_over(result.scores, names, key) for key in _SPREADS}
    names = [name for name in result.bands if name.endswith(" 18-30")]
    found["gender at 18-30"] = {key: spread_over(result.bands, names, key) for key in _SPREADS}
    return found


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
