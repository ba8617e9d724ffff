"""How calm and how honest the answers about one face are, beside those of single frames.

    python -m benchmarks.calm [--data DIR] [--faces N] [--looks K] [CLIP...]

Faces of test rows are looked at again and again, as a camera would: each is varied K times, and
25 looks a second are drawn from these for 22 s (`benchmarks.looks`). Films are followed. Beside
the smoother stand each frame on its own, the mean of the last 24 frames, and the first five
estimates kept for ever, which are the ways of older programs.

tMAE is the mean error of all frames, tSTD the standard deviation of a face's error over its
frames (of a film without labels: of the age), each averaged over the faces.

Reference: "Let Me Take a Better Look: Towards Video-based Age Estimation", 2024 (CCMiniVID).
"""

import argparse
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import looks
from benchmarks.common import OUT, ROOT, command, flag, key_of, say, table
from benchmarks.looks import Looks
from errors import DatasetError
from estimators import ARCHITECTURES, Estimator, make_estimator
from estimators.age import scale_at
from estimators.weights import Weights, file_sha256, find_weights
from program.load import Effort
from program.options import USUAL_MODELS, number
from structures import Estimates, Float32, Gender
from tracking.smoothing import TrackSmoother
from training.chips import years_outside

FPS, SECONDS = 25.0, 22.0
LABEL_S = 12.0  # when the gender told is judged
LOOKS = (1, 8, 104)  # numbers of estimates after which the interval is judged
CONFIDENT = 0.95
BANDS = (("all", 0, 999), ("told 60+", 60, 999))
DATA = Path(os.environ.get("FACES_DATA", ROOT.parent / "shared" / "data"))
CLIPS = ("talking_head_long.mp4", "talking_head_small.mp4", "people_crossing.mp4")
Seen = Callable[..., list[Looks]]  # of a name, what makes them, and further parts of the key
_LEAST_S = 2.0  # shorter visits of a film say nothing about calm
_SIGNS = {Gender.FEMALE: 1, Gender.MALE: -1, Gender.UNSURE: 0}


class Told(NamedTuple):
    """What is told of N faces in T frames, (T, N) each.

    Attributes:
        ages: years.
        females: stated probability.
        labels: 1 = female, -1 = male, 0 = unsure.
        intervals: number of looks -> (N,) ages and (N,) uncertainties after so many.
    """

    ages: Float32
    females: Float32
    labels: NDArray[np.int64]
    intervals: dict[int, tuple[Float32, Float32]]


def raw(ages: Float32, females: Float32) -> Told:
    """Each frame on its own."""
    return Told(ages, females, np.where(females > 0.5, 1, -1), {})


def mean_of_last(count: int, ages: Float32, females: Float32) -> Told:
    """The mean of the last `count` frames."""

    def mean(values: Float32) -> Float32:
        sums = np.cumsum(values, axis=0, dtype=np.float64)
        sums[count:] -= sums[:-count].copy()
        many = np.minimum(np.arange(1, len(values) + 1), count)
        return (sums / many[:, None]).astype(np.float32)

    return raw(mean(ages), mean(females))


def first_kept(count: int, ages: Float32, females: Float32) -> Told:
    """The mean of the first `count` frames, for ever."""
    rows = np.minimum(np.arange(len(ages)), count - 1)
    means = mean_of_last(count, ages[:count], females[:count])
    return raw(means.ages[rows], means.females[rows])


def smoothed(
    times_s: NDArray[np.float64],
    ages: Float32,
    spreads: Float32,
    females: Float32,
    weights: Float32,
) -> Told:
    """What the smoother tells; estimates are made when they are due, as in the loop."""
    smoother, gap_s = TrackSmoother(), Effort().estimate_gap_s
    told = Told(np.empty_like(ages), np.empty_like(ages), np.empty(ages.shape, np.int64), {})
    count = ages.shape[1]
    for n in LOOKS:
        told.intervals[n] = np.full(count, np.nan, np.float32), np.full(count, np.nan, np.float32)
    for t, time_s in enumerate(times_s.tolist()):
        due = [i for i in range(count) if smoother.is_due(i, time_s, gap_s)]
        made = Estimates(ages[t, due], spreads[t, due], females[t, due])
        smoother.update(due, made, weights[t, due], time_s)
        for i in range(count):
            answer = smoother.current(i)
            assert answer is not None
            told.ages[t, i], told.females[t, i] = answer.age_years, answer.female_prob
            told.labels[t, i] = _SIGNS[answer.gender]
            if answer.samples in told.intervals and i in due:
                after = told.intervals[answer.samples]
                after[0][i], after[1][i] = answer.age_years, answer.age_uncertainty_years
    return told


def ways(played: Looks, times_s: NDArray[np.float64]) -> dict[str, Told]:
    """Let all ways tell of the same frames; `played` has a row a frame."""
    ages, females = played.ages, played.females
    return {
        "each frame": raw(ages, females),
        "mean of 24": mean_of_last(24, ages, females),
        "first five": first_kept(5, ages, females),
        "smoothed": smoothed(times_s, ages, played.spreads, females, played.weights),
    }


def play(seen: Looks) -> tuple[Looks, NDArray[np.float64]]:
    """Return frames, (T, N), drawn from the looks at a set, or those of a film; their times."""
    if len(seen.times_s):
        return seen._replace(**{n: getattr(seen, n).T for n in Looks._fields[:4]}), seen.times_s
    times_s = np.arange(int(SECONDS * FPS)) / FPS
    faces, count = seen.ages.shape
    rng = np.random.default_rng(1)
    order = rng.integers(0, count, (len(times_s), faces))
    rows = np.arange(faces)
    return seen._replace(**{n: getattr(seen, n)[rows, order] for n in Looks._fields[:4]}), times_s


def jitter_row(told: Told, seen: Looks, times_s: NDArray[np.float64]) -> list[str]:
    """tMAE, tSTD, range after a second, changes and flips a minute, seconds to a label."""
    known = bool(np.isfinite(seen.low).all())
    off = years_outside(told.ages, seen.low, seen.high) if known else told.ages
    minutes = max(float(times_s[-1] - times_s[0]) / 60, 1e-9)
    settled = told.ages[times_s >= times_s[0] + 1]
    labelled = told.labels != 0
    first = np.where(labelled.any(0), times_s[labelled.argmax(0)] - times_s[0], np.nan)
    return [
        f"{off.mean():.2f}" if known else "-",
        f"{off.std(0, ddof=1).mean():.2f}",
        f"{np.ptp(settled, axis=0).mean():.1f}",
        f"{_changes(np.rint(told.ages)) / minutes:.1f}",
        f"{_changes(told.labels) / minutes:.2f}",
        f"{np.nanmedian(first):.2f}" if labelled.any() else "-",
    ]


def _changes(values: NDArray[np.floating] | NDArray[np.integer]) -> float:
    """How often a face's value changes, on average."""
    return float((np.diff(values, axis=0) != 0).sum(0).mean())


def gender_row(told: Told, seen: Looks, frame: int) -> list[str]:
    """Of the labels at a frame: unsure, right when told, stated, confident and wrong; in %."""
    known = np.isfinite(seen.female)
    label, female = told.labels[frame, known], told.females[frame, known]
    stated = np.where(label > 0, female, 1 - female)
    right = (label > 0) == (seen.female[known] > 0.5)
    tells = label != 0
    wrong = tells & ~right & (stated >= CONFIDENT)
    values = 1 - tells.mean(), right[tells].mean(), stated[tells].mean(), wrong.mean()
    return [f"{100 * value:.1f}" for value in values]


def coverage_cells(told: Told, seen: Looks, low: float, high: float) -> list[str]:
    """Shares of the truths within 1, 1.64 and 1.96 sd after each of `LOOKS`, and their number."""
    cells = []
    for years, uncertain in told.intervals.values():
        rows = (years >= low) & (years < high) & np.isfinite(seen.low)
        off = years_outside(years, seen.low, seen.high)[rows]
        shares = [(off <= k * uncertain[rows]).mean() for k in (1, 1.64)] if rows.any() else []
        cells.append(" / ".join(f"{share:.3f}" for share in shares) or "-")
    return [*cells, str(int(rows.sum()))]


def mirror_row(seen: Looks) -> list[str]:
    """Error in years and gender in %, of the chip alone and of its mean with its mirror image."""
    cells = []
    for views in (1, 2):
        off = years_outside(seen.ages[:, :views].mean(1), seen.low, seen.high)
        right = (seen.females[:, :views].mean(1) > 0.5) == (seen.female > 0.5)
        known = np.isfinite(seen.female)
        gender = f"{100 * right[known].mean():.1f}" if known.any() else "-"
        cells += [f"{np.nanmean(off):.2f}", gender]
    return cells


def gather(options: argparse.Namespace) -> tuple[dict[str, Looks], dict[str, Looks]]:
    """Make the looks at sets and films, or read them again; what is missing is left out."""
    weights = find_weights(options.weights, options.estimator)
    estimator = make_estimator(options.estimator, options.weights)
    sums = sorted(file_sha256(path) for path in weights.files.values())

    def seen(name: str, make: Callable[[], list[Looks]], *parts: Path | str) -> list[Looks]:
        # Kept at scale 1, so that a new calibration needs no new estimates.
        def unscaled() -> list[Looks]:
            return [_scaled(each, weights, -1) for each in make()]

        key = key_of(*sums, *parts, options.faces, options.looks)
        found = looks.kept(options.out / "looks", name, key, unscaled)
        return [_scaled(each, weights, 1) for each in found]

    return _sets(options, estimator, seen), _films(options, estimator, seen)


def _sets(options: argparse.Namespace, estimator: Estimator, seen: Seen) -> dict[str, Looks]:
    def make(name: str) -> list[Looks]:
        chips = looks.chips_of(options.data, name, options.faces, estimator.input_size)
        return looks.looks_at_set(estimator, chips, options.looks)

    sets: dict[str, Looks] = {}
    for name in options.sets:
        try:
            chips = options.data / "faces" / f"{name}.tar"
            of_set = [chips] if chips.is_file() else [str(options.data.resolve())]
            (sets[name],) = seen(name, partial(make, name), *of_set)
        except DatasetError as error:
            say("calm", f"{name} left out: {error}")
    return sets


def _films(options: argparse.Namespace, estimator: Estimator, seen: Seen) -> dict[str, Looks]:
    films: dict[str, Looks] = {}
    for clip in options.clips or [options.data / "clips" / name for name in CLIPS]:
        if not clip.is_file():
            say("calm", f"{clip} left out: no such file")
            continue
        make = partial(looks.faces_of_film, estimator, clip, _LEAST_S)
        for count, each in enumerate(seen(clip.stem, make, clip), start=1):
            films[f"{clip.stem} {count}"] = each
    return films


def _scaled(each: Looks, weights: Weights, power: int) -> Looks:
    return each._replace(spreads=each.spreads * scale_at(weights.spread_scale, each.ages) ** power)


def report(sets: dict[str, Looks], films: dict[str, Looks]) -> Iterable[str]:
    """Yield the tables as Markdown."""
    jitter, gender, interval = [], [], []
    for name, seen in {**sets, **films}.items():
        played, times_s = play(seen)
        every = ways(played, times_s)
        jitter += [[name, way, *jitter_row(told, seen, times_s)] for way, told in every.items()]
        if name not in sets:
            continue
        if np.isfinite(seen.female).any():
            at = int(LABEL_S * FPS)
            gender += [[name, way, *gender_row(told, seen, at)] for way, told in every.items()]
        for band, low, high in BANDS:
            interval.append([name, band, *coverage_cells(every["smoothed"], seen, low, high)])
    yield table(
        ["faces", "way", "tMAE", "tSTD", "years between extremes after 1 s",
         "changes of the age a minute", "flips a minute", "s to a label"], jitter
    )  # fmt: skip
    if sets:
        told_of = ["unsure %", "right when told %", "stated %", "wrong and confident %"]
        yield table([f"gender after {LABEL_S:.0f} s", "way", *told_of], gender)
        within = [f"within 1 / 1.64 sd after {n}" for n in LOOKS]
        yield table(["age interval", "ages", *within, "faces"], interval)
        alone = ["MAE", "gender %", "MAE with the mirror image", "gender % with it"]
        yield table(["faces", *alone], [[n, *mirror_row(seen)] for n, seen in sets.items()])


@command(
    "calm",
    __doc__,
    flag("clips", nargs="*", type=Path, metavar="CLIP", help="default: those in DATA/clips"),
    flag("--data", type=Path, default=DATA, metavar="DIR", help="with faces/, raw/ and clips/"),
    flag("--sets", nargs="*", choices=looks.SETS, default=looks.SETS),
    flag("--faces", type=number(int, 1), default=500, metavar="N", help="of each set, at most"),
    flag("--looks", type=number(int, 2), default=12, metavar="K", help="at each of these faces"),
    flag("--estimator", choices=ARCHITECTURES, default=USUAL_MODELS.estimator),
    flag("--weights", help="a name of weights/manifest.json, or a file"),
    OUT,
)
def main(options: argparse.Namespace) -> None:
    """Print the tables."""
    for text in report(*gather(options)):
        print(text, end="\n\n")


if __name__ == "__main__":
    raise SystemExit(main())
