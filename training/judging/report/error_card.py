"""One page on what to expect of faces like those of one's own photographs."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from training.chips import Chips
from training.judging.metrics import signed_years
from training.judging.report.page import shell
from training.judging.report.tables import cell, number, set_title
from training.judging.results import Result
from training.judging.scores import FEW, Group, Score, groups_of

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
            _tile(
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
            tiles.append(_tile(f"{100 * scores[name].value:.0f}", text, scores[name]))
    return f'<div class="big">{"".join(tiles)}</div>'


def _found(result: Result) -> str:
    missed = result.examples.missed
    count = 0 if missed is None else len(missed)
    total = len(result.examples.chips) + count
    return f"<div><strong>{count} of {total}</strong> faces are not found.</div>"


def _tile(large: str, text: str, score: Score) -> str:
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
