"""The pages of an evaluation, each one HTML file that needs no network: report and error card."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from pages import environment
from structures import ETHNICITIES
from training.chips import Chips, join
from training.judging.accuracy import Ints, signed_years
from training.judging.contenders import Contender
from training.judging.report import age_charts, charts
from training.judging.report.shown_faces import labelled_age, picture, worst
from training.judging.report.tables import (
    Cell,
    Row,
    Table,
    band_table,
    by_set,
    calibration_table,
    class_table,
    count_line,
    group_table,
    interval,
    metric_cell,
    overview,
    set_title,
)
from training.judging.results import Result
from training.judging.scores import FEW, Score, groups_of
from training.labels import GENDERS, Face
from training.result_files import commit, versions

_PACKAGES = ("numpy", "opencv-python", "openvino", "onnxruntime", "tensorflow-cpu", "keras")
_SHOWN = 12  # faces in a grid
_JPEG_QUALITY = 85


class FaceTile(NamedTuple):
    """A face as shown: its image's address, its labels and its estimates."""

    source: str
    labelled: str
    estimated: str


class KeyFigure(NamedTuple):
    """A figure shown large, with words, and the number of people behind it, if few."""

    large: str
    text: str
    unsure: bool = False
    people: int = 0


def about(seed: int, resamples: int) -> dict[str, Any]:
    """Return when, with what and on what kind of machine an evaluation was made."""
    return {
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "seed": seed,
        "resamples": resamples,
        "versions": versions(_PACKAGES),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "commit": commit().get("commit", ""),
    }


def page(
    results: Sequence[Result],
    contenders: Sequence[Contender],
    made: Mapping[str, Any],
    faces: bool,
) -> str:
    """Return the report.

    Args:
        results: what was measured, set by set.
        contenders: the networks, timed.
        made: what `about` returns; its seed chooses the faces to show.
        faces: whether to show any.
    """
    sets = [
        {
            "title": set_title(name),
            "count": count_line(found[0]),
            "overview": overview(found, contenders),
            "results": found,
        }
        for name, found in by_set(results).items()
    ]
    beside = charts.comparisons(results, contenders) if len(contenders) > 1 else []
    return _render("report", sets=sets, beside=beside, made=made, faces=faces)


def error_card(results: Sequence[Result]) -> str:
    """Return what to expect of one's own photographs, by network and detector."""
    return _render("error_card", results=results)


def _render(name: str, **values: Any) -> str:
    return str(_environment().get_template(f"{name}.html.j2").render(few=FEW, **values)) + "\n"


@cache
def _environment() -> Any:
    from markupsafe import Markup, escape

    templates = environment(Path(__file__).resolve().parent)
    filters = (set_title, group_table, band_table, calibration_table, class_table, drawings, grids,
               key_figures, card_table)  # fmt: skip
    templates.filters |= {function.__name__: function for function in filters}
    # A name may be broken at its underscores.
    templates.filters["breakable"] = lambda name: escape(name).replace("_", Markup("_<wbr>"))
    return templates


def drawings(result: Result) -> list[charts.Drawing]:
    """Return all charts of one network on one set."""
    matrices = [drawing for table in result.tables if (drawing := charts.matrix(table))]
    return age_charts.drawings(result) + matrices + charts.sureness(result)


def grids(result: Result, seed: int) -> list[tuple[str, list[FaceTile]]]:
    """Return a choice of faces, and the worst errors in age, gender and ethnicity, titled."""
    chips, estimates = result.examples.chips, result.estimates
    error = np.nan_to_num(np.abs(signed_years(chips, estimates)))
    wrong = ~np.isnan(chips.female) & ((estimates.female_prob > 0.5) != (chips.female == 1))
    sure = np.abs(estimates.female_prob - 0.5)
    parts = [
        ("A choice of faces, of all ages", showcase(result, seed)),
        ("Largest errors in age", worst(error, error > 0, _SHOWN)),
        ("Gender wrong, surest first", worst(sure, wrong, _SHOWN)),
    ]
    if estimates.ethnicity_probs is not None:
        wrong = (chips.race >= 0) & (estimates.ethnicity_probs.argmax(axis=1) != chips.race)
        sure = estimates.ethnicity_probs.max(axis=1)
        parts.append(("Ethnicity wrong, surest first", worst(sure, wrong, _SHOWN)))
    return [(title, [_face_tile(result, int(row)) for row in rows]) for title, rows in parts
            if len(rows)]  # fmt: skip


def showcase(result: Result, seed: int) -> Ints:
    """Draw rows at random from each age band in turn, so that rare ages appear, too."""
    rng = np.random.default_rng(seed)
    bands = [np.flatnonzero(group.rows) for group in result.groups if group.kind == "age"]
    bands = bands or [np.arange(len(result.estimates))]
    piles = [rng.permutation(rows).tolist() for rows in bands]
    chosen: list[int] = []
    while any(piles) and len(chosen) < _SHOWN:
        chosen += [pile.pop() for pile in piles if pile]
    return np.array(chosen[:_SHOWN], np.int64)


def _face_tile(result: Result, row: int) -> FaceTile:
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", picture(result, row), quality)
    source = charts.data_address(data.tobytes(), "jpeg")
    return FaceTile(source, _labelled(result.examples.chips.face(row)), _estimated(result, row))


def _labelled(face: Face) -> str:
    words = []
    if face.age is not None:
        words.append(labelled_age(face))
    if face.female is not None:
        words.append(GENDERS[face.female])
    if face.ethnicity is not None:
        words.append(ETHNICITIES[face.ethnicity])
    return ", ".join(words)


def _estimated(result: Result, row: int) -> str:
    estimates = result.estimates
    female = float(estimates.female_prob[row])
    words = [f"{estimates.age_years[row]:.0f} ± {estimates.age_spread_years[row]:.0f}"]
    words.append(f"{GENDERS[int(female > 0.5)]} {_percent(max(female, 1 - female))}")
    if estimates.ethnicity_probs is not None:
        best = int(estimates.ethnicity_probs[row].argmax())
        words.append(f"{ETHNICITIES[best]} {_percent(estimates.ethnicity_probs[row, best])}")
    return ", ".join(words)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def key_figures(result: Result) -> list[KeyFigure]:
    """Return the figures of all faces, large and in words."""
    scores, missed = result.scores["all"], _missed(result)
    total = len(result.examples.chips) + missed
    tiles = [KeyFigure(f"{missed} of {total}", "faces are not found.")]
    chips = result.examples.chips
    error = np.abs(signed_years(chips, result.estimates))
    age, bias = _age_metrics(result)
    exact = chips.age_low == chips.age_high
    error = error[~np.isnan(error) & (exact if age == "mae_years" else ~exact)]
    if age in scores:
        what = "is the error of the age" if age == "mae_years" else "outside its range is the age"
        lean = "too old" if scores[bias].value > 0 else "too young"
        text = (
            f"{what} on average{_between(scores[age], 'years')}. Half lie "
            f"within {np.median(error):.1f} years, nine of ten within "
            f"{np.quantile(error, 0.9):.1f}. "
            f"On the whole {abs(scores[bias].value):.1f} years {lean}."
        )
        tiles.append(_key_figure(f"{scores[age].value:.1f} years", text, scores[age]))
    for name in ("gender", "ethnicity"):
        if name in scores:
            text = f"in 100 have the right {name}{_between(scores[name], 'share')}."
            tiles.append(_key_figure(f"{100 * scores[name].value:.0f}", text, scores[name]))
    return tiles


def _key_figure(large: str, text: str, score: Score) -> KeyFigure:
    return KeyFigure(large, text, score.unsure, score.people)


def _missed(result: Result) -> int:
    return 0 if result.examples.missed is None else len(result.examples.missed)


def _age_metrics(result: Result) -> tuple[str, str]:
    """Return the metrics of error and bias that fit a set's kind of age labels."""
    if "mae_years" in result.scores["all"]:
        return "mae_years", "bias_years"
    return "outside_years", "outside_bias_years"


def _between(score: Score, unit: str) -> str:
    between = interval(score, unit).replace("–", " to ")
    return f" ({between})" if between else ""


def card_table(result: Result) -> Table:
    """Return the error card's table by group, missed faces included."""
    missed = result.examples.missed
    lost = {} if missed is None else {g.name: int(g.rows.sum()) for g in groups_of(missed)}
    titles = ("age error, years", "too old (+), too young (-)", "gender right, %",
              "ethnicity right, %")  # fmt: skip
    columns = {
        metric: title
        for metric, title in zip(
            (*_age_metrics(result), "gender", "ethnicity"), titles, strict=True
        )
        if metric in result.scores["all"]
    }
    found = {group.name: group for group in result.groups}
    rows = []
    for name in dict.fromkeys([*(g.name for g in groups_of(_all_labels(result))), *found]):
        inside = found[name].rows if name in found else np.zeros(len(result.estimates), np.bool_)
        people = len(np.unique(result.examples.chips.groups[inside]))
        cells = [Cell(str(int(inside.sum()))), Cell(str(lost.get(name, 0)))]
        cells += [metric_cell(result.scores.get(name, {}), metric) for metric in columns]
        rows.append(Row(name, cells, f"unsure, {people} people" if people < FEW else ""))
    return Table(["found", "not found", *columns.values()], rows)


def _all_labels(result: Result) -> Chips:
    """Return the labels of all photographs, found or not, without images."""
    parts = [part for part in (result.examples.chips, result.examples.missed) if part is not None]
    return join([replace(part, images=part.images[:, :0, :0]) for part in parts])
