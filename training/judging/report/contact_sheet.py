"""A contact sheet: of each age band the faces whose age was estimated worst, as one picture."""

import cv2
import numpy as np

from structures import Image
from training.chips import shrink
from training.judging.accuracy import Ints, signed_years
from training.judging.results import Result
from training.labels import GENDERS

_SIDE = 112  # of a face, pixels
_ACROSS = 15  # faces
_LINE = 16  # height of a line of text, pixels
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def contact_sheet(result: Result, most: int) -> Image | None:
    """Return a picture (H, W, 3) uint8 BGR with up to `most` faces of each age band.

    Below each are its labels and its estimates; the worst comes first. None where no age is
    known.
    """
    error = np.abs(signed_years(result.examples.chips, result.estimates))
    parts = []
    for group in result.groups:
        rows = np.flatnonzero(group.rows & ~np.isnan(error))
        if group.kind != "age" or not len(rows):
            continue
        worst = rows[np.argsort(-error[rows], kind="stable")][:most]
        title = f"{group.name}: the {len(worst)} worst of {len(rows)}, mean error "
        parts.append(_written(f"{title}{error[rows].mean():.1f} years", _ACROSS * _SIDE))
        parts.append(_tiled(result, worst))
    return np.concatenate(parts) if parts else None


def _tiled(result: Result, rows: Ints) -> Image:
    tiles = [_tile(result, int(row)) for row in rows]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % _ACROSS)
    lines = [np.concatenate(tiles[i : i + _ACROSS], 1) for i in range(0, len(tiles), _ACROSS)]
    return np.concatenate(lines)


def _tile(result: Result, row: int) -> Image:
    face = result.examples.chips.face(row)
    image = result.examples.chips.images[row][None]
    if image.shape[1] > _SIDE:
        image = shrink(image, _SIDE)
    picture = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    side = image.shape[1]
    picture[:side, :side] = image[0, ..., ::-1]
    low, high = face.age or (0.0, 0.0)
    labelled = f"{low:g}" if low == high else f"{low:g}-{high:g}"
    if face.female is not None:
        labelled += f" {GENDERS[face.female]}"
    estimates = result.estimates
    told = f"{estimates.age_years[row]:.0f} {GENDERS[int(estimates.female_prob[row] > 0.5)]}"
    return np.concatenate([picture, _written(labelled, _SIDE), _written(f"> {told}", _SIDE)])


def _written(text: str, width: int) -> Image:
    strip = np.full((_LINE, width, 3), _WHITE, np.uint8)
    place = (3, _LINE - 4)
    cv2.putText(strip, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, _BLACK, 1, cv2.LINE_AA)
    return strip
