"""Grids of faces with what they are labelled and what was said of them."""

from collections.abc import Sequence
from html import escape

import cv2
import numpy as np

from structures import ETHNICITIES
from training.judging.metrics import Ints, signed_years
from training.judging.report.style import data_address
from training.judging.results import Result
from training.labels import GENDERS

_SHOWN = 12
_JPEG_QUALITY = 85
_SIDE = 112


def grids(result: Result, seed: int) -> str:
    """A choice of faces, and the worst mistakes in age, gender and ethnicity, as HTML."""
    chips, told = result.examples.chips, result.told
    error = np.nan_to_num(np.abs(signed_years(chips, told)))
    known = ~np.isnan(chips.female)
    wrong = known & ((told.female_prob > 0.5) != (chips.female == 1))
    parts = [
        ("A choice of faces, of all ages", showcase(result, seed)),
        ("Largest errors in age", _worst(error, error > 0)),
        ("Gender told wrongly, surest first", _worst(np.abs(told.female_prob - 0.5), wrong)),
    ]
    if told.ethnicity_probs is not None:
        wrong = (chips.race >= 0) & (told.ethnicity_probs.argmax(axis=1) != chips.race)
        sure = told.ethnicity_probs.max(axis=1)
        parts.append(("Ethnicity told wrongly, surest first", _worst(sure, wrong)))
    return "".join(_grid(result, title, rows) for title, rows in parts if len(rows))


def showcase(result: Result, seed: int) -> Ints:
    """Rows drawn at random, one age band after the other, so that rare ages are there, too."""
    rng = np.random.default_rng(seed)
    bands = [np.flatnonzero(group.rows) for group in result.groups if group.kind == "age"]
    bands = bands or [np.arange(len(result.told))]
    piles = [rng.permutation(rows).tolist() for rows in bands]
    chosen: list[int] = []
    while any(piles) and len(chosen) < _SHOWN:
        chosen += [pile.pop() for pile in piles if pile]
    return np.array(chosen[:_SHOWN], np.int64)


def _worst(badness: np.ndarray, rows: np.ndarray) -> Ints:
    chosen = np.flatnonzero(rows)
    return chosen[np.argsort(-badness[chosen], kind="stable")][:_SHOWN]


def _grid(result: Result, title: str, rows: Sequence[int] | Ints) -> str:
    tiles = "".join(_tile(result, int(row)) for row in rows)
    return f'<h4>{title}</h4><div class="faces">{tiles}</div>'


def _tile(result: Result, row: int) -> str:
    image = result.examples.chips.images[row]
    if image.shape[0] > _SIDE:
        image = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), quality)
    source = data_address(data.tobytes(), "jpeg")
    is_so, said = escape(_labelled(result, row)), escape(_told(result, row))
    return (
        f'<figure><img src="{source}" alt="a face" loading="lazy">'
        f"<figcaption><b>label</b> {is_so}<br><b>told</b> {said}</figcaption></figure>"
    )


def _labelled(result: Result, row: int) -> str:
    chips = result.examples.chips
    low, high = float(chips.age_low[row]), float(chips.age_high[row])
    words = []
    if not np.isnan(low):
        words.append(f"{low:g}" if low == high else f"{low:g}-{high:g}")
    if not np.isnan(chips.female[row]):
        words.append(GENDERS[int(chips.female[row])])
    if chips.race[row] >= 0:
        words.append(ETHNICITIES[chips.race[row]])
    return ", ".join(words)


def _told(result: Result, row: int) -> str:
    told = result.told
    female = float(told.female_prob[row])
    gender = f"{GENDERS[int(female > 0.5)]} {100 * max(female, 1 - female):.0f}\N{NO-BREAK SPACE}%"
    words = [f"{told.age_years[row]:.0f} ± {told.age_spread_years[row]:.0f}", gender]
    if told.ethnicity_probs is not None:
        best = int(told.ethnicity_probs[row].argmax())
        words.append(
            f"{ETHNICITIES[best]} {100 * told.ethnicity_probs[row, best]:.0f}\N{NO-BREAK SPACE}%"
        )
    return ", ".join(words)
