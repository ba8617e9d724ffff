"""Estimates to replay: many looks at each face of labelled sets, and the faces of films.

They are made once and kept, since a network takes longer than everything that follows.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import frames_of, say
from detectors import make_detector
from estimators import Estimator
from program.pipeline import Pipeline, describe
from structures import Float32
from tracking.smoothing import TrackSmoother
from tracking.sort import SortTracker
from training.chips import Chips, load_chips, shrink
from training.fitting.batches import augment
from training.judging.contenders import estimate_all
from training.judging.labelled_photos import cut_faces, read_labels
from training.result_files import writing

SETS = ("utkface", "fairface", "fgnet", "us_congress", "frl_faces")
STRENGTH = 0.3  # of the augmentation: a head that moves a little before one camera
_SEED = 7


class Looks(NamedTuple):
    """Estimates of K looks at N faces, or of one face in N = 1, K frames, with labels.

    Attributes:
        ages, spreads, females, weights: (N, K) float32; the first look is the chip itself and
            the second its mirror image, where the faces come from a set.
        low, high, female: (N,) float32 labels, NaN where unknown.
        times_s: (K,) of a film's frames, empty for a set's looks.
    """

    ages: Float32
    spreads: Float32
    females: Float32
    weights: Float32
    low: Float32
    high: Float32
    female: Float32
    times_s: NDArray[np.float64]


def kept(folder: Path, name: str, key: str, make: Callable[[], list[Looks]]) -> list[Looks]:
    """Return what `make` makes, from a file of `folder` if that has been made before."""
    path = folder / f"{name}.{key}.npz"
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            count = len(file.files) // len(Looks._fields)
            return [Looks(*(file[f"{i}.{n}"] for n in Looks._fields)) for i in range(count)]
    except (FileNotFoundError, ValueError, KeyError, zipfile.BadZipFile):
        pass  # not made yet, or damaged
    say("calm", f"estimating the faces of {name}, once")
    found = make()
    parts = {f"{i}.{n}": v for i, each in enumerate(found) for n, v in each._asdict().items()}
    with writing(path) as beside, beside.open("wb") as file:
        np.savez(file, allow_pickle=False, **parts)
    return found


def chips_of(data: Path, name: str, limit: int, size: int) -> Chips:
    """Read the test rows of a set, or all photographs of FG-NET, which has no such split.

    Of more than `limit` faces, a random choice.

    Raises:
        DatasetError: the set is missing or damaged.
    """
    if name == "fgnet":
        folder = data / "raw" / "fgnet" / "images"
        faces, notes = read_labels(folder, "fgnet")
        chips = cut_faces(folder, faces, make_detector("mtcnn"), [size], name, notes).chips
    else:
        chips = load_chips(data / "faces", name, "test")
    order = np.random.default_rng(_SEED).permutation(len(chips))
    return chips.take(np.sort(order[:limit]))


def looks_at_set(estimator: Estimator, chips: Chips, count: int) -> list[Looks]:
    """Estimate `count` looks at each chip: itself, its mirror image, and light variants."""
    rng, size = np.random.default_rng(_SEED), estimator.input_size
    plain = shrink(chips.images, size)
    views = [plain, np.ascontiguousarray(plain[:, :, ::-1])]
    views += [augment(chips.images, size, rng, STRENGTH) for _ in range(count - 2)]
    made = [estimate_all(estimator, view) for view in views]
    ages, spreads, females = (
        np.stack([getattr(each, name) for each in made], 1)
        for name in ("age_years", "age_spread_years", "female_prob")
    )
    labels = chips.age_low, chips.age_high, chips.female
    return [Looks(ages, spreads, females, np.ones_like(ages), *labels, np.zeros(0))]


class _EveryFrame(TrackSmoother):
    """Asks for an estimate of every visible face in every frame."""

    def is_due(self, track_id: int, time_s: float, least_gap_s: float = 0.0) -> bool:
        return True


def faces_of_film(estimator: Estimator, clip: Path, least_s: float) -> list[Looks]:
    """Follow the faces of a film and estimate them in every frame, every second time mirrored.

    Returns those that are seen for `least_s` seconds, the longest first.
    """
    detector = make_detector("mtcnn")
    pipeline = Pipeline(detector, SortTracker(), estimator, _EveryFrame(), detect_every=5)
    seen: dict[int, list[tuple[float, ...]]] = {}
    for frame in frames_of(clip):
        found = pipeline.search(frame, detector) if pipeline.wants_search(frame) else None
        (look,) = describe(estimator, [(pipeline, pipeline.follow(frame, found))])
        if look.estimates is not None:
            made = look.estimates.estimates
            columns = made.age_years, made.age_spread_years, made.female_prob, look.weights
            for track_id, *values in zip(look.due, *columns, strict=True):
                seen.setdefault(track_id, []).append((frame.time_s, *values))
    films = [np.array(rows, np.float64).T for rows in seen.values()]
    films = [film for film in films if film[0, -1] - film[0, 0] >= least_s]
    films.sort(key=lambda film: -film.shape[1])
    unknown = np.full(1, np.nan, np.float32)
    faces = []
    for times_s, *values in films:
        ages, spreads, females, weights = (each[None].astype(np.float32) for each in values)
        labels = unknown, unknown, unknown
        faces.append(Looks(ages, spreads, females, weights, *labels, times_s))
    return faces
