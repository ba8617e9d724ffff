"""Finding and describing the faces of single images, without smoothing."""

from collections.abc import Iterator, Sequence

import numpy as np

from detectors import Detector
from estimators import Estimator, estimate_both_ways
from estimators.crops import align
from structures import Detections, Estimates, Gender, Image, Smoothed


def describe_images(
    images: Sequence[Image], detector: Detector, estimator: Estimator
) -> Iterator[tuple[Detections, Estimates]]:
    """Find the faces of images, (H, W, 3) uint8 BGR, and describe all of them in one batch.

    Each face is estimated twice, the second time mirrored. Yields the faces of each image; row i
    is face i.
    """
    found = [detector.detect(image).above(detector.starting_score) for image in images]
    template, size = detector.landmark_template, estimator.input_size
    chips = [
        align(image, detections.landmarks, template, size)
        for image, detections in zip(images, found, strict=True)
    ]
    estimates, start = estimate_both_ways(estimator, np.concatenate(chips)), 0
    for detections in found:
        yield detections, estimates[start : start + len(detections)]
        start += len(detections)


def described(estimates: Estimates) -> list[Smoothed]:
    """The estimates of single faces as the values of people, one for each."""
    return [
        Smoothed(
            age_years=float(estimates.age_years[i]),
            age_uncertainty_years=float(estimates.age_spread_years[i]),
            female_prob=float(estimates.female_prob[i]),
            gender=Gender.of(float(estimates.female_prob[i])),
            samples=1,
            converged=False,
            ethnicity_probs=None
            if estimates.ethnicity_probs is None
            else estimates.ethnicity_probs[i],
        )
        for i in range(len(estimates))
    ]
