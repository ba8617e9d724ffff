"""A contact sheet: of each age band the faces whose age was estimated worst, as one picture."""

import cv2
import numpy as np

from structures import Image
from training.judging.accuracy import Ints, signed_years
from training.judging.report.shown_faces import SIDE, labelled_age, picture, worst
from training.judging.results import Result
from training.labels import GENDERS

_ACROSS = 15  # faces
_LINE = 16  # height of a line of text, pixels
_BLACK = (0, 0, 0)


def contact_sheet(result: Result, most: int) -> Image | None:
    """Return a picture (H, W, 3) uint8 BGR with up to `most` faces of each age band.

    Below each are its labels and its estimates; the worst comes first. None where no age is
    known.
    """
    error = np.abs(signed_years(result.examples.chips, result.estimates))
    parts = []
    for group in result.groups:
        known = group.rows & ~np.isnan(error)
        if group.kind != "age" or not known.any():
            continue
        chosen = worst(error, known, most)
        title = f"{group.name}: the {len(chosen)} worst of {known.sum()}, mean error "
        parts.append(_written(f"{title}{error[known].mean():.1f} years", _ACROSS * SIDE))
        parts.append(_tiled(result, chosen))
    return np.concatenate(parts) if parts else None


def _tiled(result: Result, rows: Ints) -> Image:
    tiles = [_tile(result, int(row)) for row in rows]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % _ACROSS)
    lines = [np.concatenate(tiles[i : i + _ACROSS], 1) for i in range(0, len(tiles), _ACROSS)]
    return np.concatenate(lines)


def _tile(result: Result, row: int) -> Image:
    face, estimates = result.examples.chips.face(row), result.estimates
    image = picture(result, row)
    square = np.full((SIDE, SIDE, 3), 255, np.uint8)
    square[: len(image), : len(image)] = image
    labelled = labelled_age(face)
    if face.female is not None:
        labelled += f" {GENDERS[face.female]}"
    told = f"{estimates.age_years[row]:.0f} {GENDERS[int(estimates.female_prob[row] > 0.5)]}"
    return np.concatenate([square, _written(labelled, SIDE), _written(f"> {told}", SIDE)])


def _written(text: str, width: int) -> Image:
    strip = np.full((_LINE, width, 3), 255, np.uint8)
    place = (3, _LINE - 4)
    cv2.putText(strip, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, _BLACK, 1, cv2.LINE_AA)
    return strip
