"""One page on what to expect of faces like those of one's own photographs."""

import math
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from structures import ETHNICITIES
from training.chips import Chips
from training.judging.accuracy import Ints, signed_years
from training.judging.contenders import Contender
from training.judging.report import age_charts, charts
from training.judging.report.charts import data_address
from training.judging.report.tables import (
    by_set,
    cell,
    count_line,
    group_table,
    number,
    overview,
    set_title,
)
from training.judging.results import Result
from training.judging.scores import FEW, Group, Score, groups_of
from training.labels import GENDERS
from training.result_files import git, packages

_EXPLAINED = f"""<p class="soft">Ranges are 95 % intervals: how far off a figure may be because
there are only so many photographs. <span class="unsure">Unsure</span>: fewer than {FEW} people, so
that the figure may be far off. The labels are taken to be right; age is apparent age. Nothing
here is fit to decide about a person.</p>"""


def error_card(results: Sequence[Result]) -> str:
    """The page, with a part for each network, and detector, that was tried."""
    parts = ["<h1>What to expect of faces like these</h1>", _EXPLAINED]
    for result in results:
        title = f"{set_title(result.examples.name)}: {result.model}"
        notes = "".join(f'<p class="note">{escape(note)}</p>' for note in result.examples.notes)
        parts.append(
            f"<section><h2>{escape(title)}</h2>{notes}{_sentences(result)}{_rows(result)}</section>"
        )
    return shell("Error card", "".join(parts))


def _sentences(result: Result) -> str:
    """The figures of all faces, large and in words."""
    scores, tiles = result.scores["all"], [_found(result)]
    error = np.abs(signed_years(result.examples.chips, result.told))
    error = error[~np.isnan(error)]
    age = scores.get("mae_years") or scores.get("outside_years")
    if age is not None:
        bias = scores.get("bias_years") or scores["outside_bias_years"]
        exact = "mae_years" in scores
        what = "is the error of the age" if exact else "outside its range is the age"
        lean = "too old" if bias.value > 0 else "too young"
        tiles.append(
            _large_tile(
                f"{age.value:.1f} years",
                f"{what} on average{_between(age, 'years')}. Half lie "
                f"within {np.median(error):.1f} years, nine of ten within "
                f"{np.quantile(error, 0.9):.1f}. "
                f"On the whole {abs(bias.value):.1f} years {lean}.",
                age,
            )
        )
    for name in ("gender", "ethnicity"):
        if name in scores:
            text = f"in 100 have the right {name}{_between(scores[name], 'share')}."
            tiles.append(_large_tile(f"{100 * scores[name].value:.0f}", text, scores[name]))
    return f'<div class="big">{"".join(tiles)}</div>'


def _found(result: Result) -> str:
    missed = result.examples.missed
    count = 0 if missed is None else len(missed)
    total = len(result.examples.chips) + count
    return f"<div><strong>{count} of {total}</strong> faces are not found.</div>"


def _large_tile(large: str, text: str, score: Score) -> str:
    unsure = ' class="unsure"' if score.unsure else ""
    more = f" Unsure: only {score.people} people." if score.unsure else ""
    return f"<div{unsure}><strong>{large}</strong> {escape(text + more)}</div>"


def _between(score: Score, unit: str) -> str:
    if math.isnan(score.low):
        return ""
    return f" ({number(score.low, unit)} to {number(score.high, unit)})"


def _rows(result: Result) -> str:
    """The table by group, missed faces among them."""
    missed = result.examples.missed
    lost = {} if missed is None else {g.name: int(g.rows.sum()) for g in groups_of(missed)}
    age = "mae_years" if "mae_years" in result.scores["all"] else "outside_years"
    bias = "bias_years" if age == "mae_years" else "outside_bias_years"
    columns = [
        (age, "age error, years", "years", False),
        (bias, "too old (+), too young (-)", "years", True),
        ("gender", "gender right, %", "share", False),
        ("ethnicity", "ethnicity right, %", "share", False),
    ]
    columns = [column for column in columns if column[0] in result.scores["all"]]
    names = {group.name: group for group in result.groups}
    order = [group.name for group in groups_of(_all_labels(result))]
    order += [name for name in names if name not in order]
    rows = []
    for name in order:
        group = names.get(name)
        scores = result.scores.get(name, {})
        cells = "".join(
            f"<td>{cell(scores.get(metric), unit, signed)}</td>"
            for metric, _, unit, signed in columns
        )
        rows.append(_row(name, group, lost.get(name, 0), cells, _people(result, group)))
    head = "".join(f"<th>{title}</th>" for _, title, _, _ in columns)
    head = f"<tr><th></th><th>found</th><th>not found</th>{head}</tr>"
    return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _row(name: str, group: Group | None, lost: int, cells: str, people: int) -> str:
    found = 0 if group is None else int(group.rows.sum())
    note = f'<small class="unsure">unsure, {people} people</small>' if people < FEW else ""
    return f"<tr><th>{escape(name)}{note}</th><td>{found}</td><td>{lost}</td>{cells}</tr>"


def _people(result: Result, group: Group | None) -> int:
    if group is None:
        return 0
    return len(np.unique(result.examples.chips.groups[group.rows]))


def _all_labels(result: Result) -> Chips:
    """The labels of all photographs, found or not; images are left out."""
    chips, missed = result.examples.chips, result.examples.missed
    if missed is None or not len(missed):
        return chips
    both = [
        np.concatenate([getattr(chips, name), getattr(missed, name)])
        for name in ("age_low", "age_high", "female", "race", "files", "groups")
    ]
    return Chips(np.zeros((len(both[0]), 1, 1, 3), np.uint8), *both)


_HERE = Path(__file__).resolve().parent
_PACKAGES = ("numpy", "opencv-python", "openvino", "onnxruntime", "tensorflow-cpu", "keras")
_READING = f"""<p class="soft">Small figures are 95 % intervals: how far a figure might be off
because there are only so many faces; photographs of one person count as one. Figures in
<span class="unsure">grey italics</span> rest on fewer than {FEW} people and say little. Bias is
told minus labelled age: + means told too old. Labels are apparent age, perceived gender and
the groups that the set's makers used, not facts about people. What all the figures mean is
in docs/evaluation.md.</p>"""


def about(seed: int, resamples: int) -> dict[str, Any]:
    """When, with what and on what kind of machine an evaluation was made."""
    return {
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "seed": seed,
        "resamples": resamples,
        "versions": {"python": platform.python_version()} | packages(_PACKAGES),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "commit": git("rev-parse", "--short", "HEAD"),
    }


def page(
    results: Sequence[Result],
    contenders: Sequence[Contender],
    made: Mapping[str, Any],
    seed: int,
    faces: bool,
) -> str:
    """The report.

    Args:
        results: what was measured, set by set.
        contenders: the networks, timed.
        made: what `about` gives.
        seed: chooses the faces that are shown.
        faces: whether any are.
    """
    sets = by_set(results)
    links = "".join(f'<a href="#set{i}">{escape(set_title(s))}</a>' for i, s in enumerate(sets))
    versions = ", ".join(f"{name} {number}" for name, number in made["versions"].items())
    beside = charts.figures(results, contenders) if len(contenders) > 1 else []
    parts = [
        f"<h1>Evaluation</h1><p class='soft'>{escape(made['made'])}</p>",
        f'<nav><a href="#overview">Overview</a>{links}</nav>',
        f'<section id="overview"><h2>Overview</h2>{_READING}{overview(results, contenders)}',
        f'<h3>Side by side</h3><div class="figures">{"".join(beside)}</div>' if beside else "",
        "</section>",
    ]
    for i, (name, found) in enumerate(sets.items()):
        notes = "".join(f'<p class="note">{escape(note)}</p>' for note in found[0].examples.notes)
        parts.append(f'<section id="set{i}"><h2>{escape(set_title(name))}</h2>')
        parts.append(f"<p>{escape(count_line(found[0]))}</p>{notes}")
        parts += [_details(result, seed, faces, result is found[0]) for result in found]
        parts.append("</section>")
    how = f"{made['machine']}; {versions}; commit {made['commit'] or 'unknown'}; seed {seed}"
    parts.append(f"<p class='soft'>Made on {escape(how)}.</p>")
    return shell("Evaluation", "".join(parts))


def _details(result: Result, seed: int, faces: bool, opened: bool) -> str:
    """Everything on one network and one set."""
    pictures = age_charts.figures(result)
    pictures += [charts.matrix(table) for table in result.tables] + charts.sureness(result)
    tables = "".join(charts.class_table(table) for table in result.tables)
    shown = grids(result, seed) if faces else ""
    return (
        f"<details{' open' if opened else ''}><summary>{escape(result.model)}</summary>"
        f"{group_table(result)}<h4>Figures</h4><div class='figures'>{''.join(pictures)}</div>"
        f"<h4>Class by class</h4><div class='figures tables'>{tables}</div>{shown}</details>"
    )


def shell(title: str, body: str) -> str:
    """A whole HTML page around `body`."""
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>{body}</body></html>\n"
    )


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
