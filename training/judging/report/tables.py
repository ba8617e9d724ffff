"""Tables of figures: for the pages, as Markdown for the terminal and for model cards."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from training.judging.contenders import Contender
from training.judging.results import ClassTable, Result
from training.judging.scores import METRICS, Score

_BRIEF = ("mae_years", "cs5", "outside_years", "class7", "class8", "class12", "gender",
          "gender_auc", "ethnicity")  # fmt: skip
_OF_BANDS = ("mae_years", "bias_years", "outside_years", "gender")
_OF_CARDS = ("bands_years", "minors_adult", "teens_adult", "adults_minor", "challenge_missed",
             "challenged_25", "challenged_30", "right_13_16")  # fmt: skip
# The sets' published names.
_TITLES = {"utkface": "UTKFace", "fairface": "FairFace", "fgnet": "FG-NET", "lfw": "LFW",
           "adience": "Adience", "imdb": "IMDB", "wiki": "WIKI", "appa": "APPA-REAL"}  # fmt: skip


def number(value: float, unit: str, signed: bool = False) -> str:
    """Return a figure as text: shares in per cent, without the % sign."""
    if math.isnan(value):
        return "–"
    if unit == "share":
        return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    if unit == "years":
        return f"{value:+.2f}" if signed else f"{value:.2f}"
    return f"{value:.3f}"


def interval(score: Score, unit: str, signed: bool = False) -> str:
    """Return the interval as text, "" if unknown."""
    if math.isnan(score.low):
        return ""
    low, high = number(score.low, unit, signed), number(score.high, unit, signed)
    return f"{low} to {high}" if signed else f"{low}–{high}"


class Cell(NamedTuple):
    """A figure as text, its interval if any, whether it rests on few faces, and is the best."""

    text: str
    interval: str = ""
    unsure: bool = False
    best: bool = False


class Row(NamedTuple):
    """A row of a table: its name, cells and note, and whether it starts a new kind."""

    name: str
    cells: Sequence[Cell]
    note: str = ""
    first: bool = False


class Table(NamedTuple):
    """A table of a page, its head without the column of names."""

    head: Sequence[str]
    rows: Sequence[Row]
    title: str = ""


def cell(score: Score | None, unit: str, signed: bool = False, best: bool = False) -> Cell:
    """Return a figure with its interval; a dash if it is unknown."""
    if score is None or math.isnan(score.value):
        return Cell("–")
    text, between = number(score.value, unit, signed), interval(score, unit, signed)
    return Cell(text, between, score.unsure, best)


def metric_cell(scores: Mapping[str, Score], name: str, best: float | None = None) -> Cell:
    """Return the cell of a metric, bold if it is the best."""
    score, metric = scores.get(name), METRICS[name]
    return cell(score, metric.unit, metric.signed, score is not None and score.value == best)


def set_title(name: str) -> str:
    """Return the published name of a set: "utkface test" -> "UTKFace test"."""
    first, blank, rest = name.partition(" ")
    return _TITLES.get(first.lower(), first) + blank + rest


def heading(metric: str) -> str:
    """Return the title of a metric's column with its unit."""
    unit = {"share": ", %", "years": "" if "years" in METRICS[metric].title else ", years"}
    return METRICS[metric].title + unit.get(METRICS[metric].unit, "")


def by_set(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Group the results by set."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.examples.name, []).append(result)
    return found


def present_metrics(results: Sequence[Result], wanted: Sequence[str]) -> list[str]:
    """Return those of `wanted` that at least one of the results has."""
    return [name for name in wanted if any(name in result.scores["all"] for result in results)]


def count_line(result: Result) -> str:
    """Return the number of faces of a set, and the labels it lacks, in words."""
    chips, missed = result.examples.chips, result.examples.missed
    text = f"{len(chips)} faces"
    if missed is not None:
        text += f" found in {len(chips) + len(missed)} photographs, {len(missed)} missed"
    lacking = [
        name
        for name, present in (
            ("age", not all(math.isnan(age) for age in chips.age_low)),
            ("gender", not all(math.isnan(female) for female in chips.female)),
            ("ethnicity", bool((chips.race >= 0).any())),
        )
        if not present
    ]
    return text + (f"; not labelled: {', '.join(lacking)}" if lacking else "")


def short_table(results: Sequence[Result], contenders: Sequence[Contender]) -> str:
    """Return the most important figures as Markdown: a table per set."""
    ms = {contender.name: contender.ms for contender in contenders}
    parts = []
    for name, found in by_set(results).items():
        metrics = present_metrics(found, _BRIEF)
        titles = ["", *map(heading, metrics), "ms per face"]
        lines = [f"**{set_title(name)}**: {count_line(found[0])}", ""]
        lines += [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
        for result in found:
            scores = result.scores["all"]
            cells = [result.model, *(_cell_text(scores.get(m), m) for m in metrics)]
            cells.append(f"{ms[result.model].get(1, math.nan):.1f}")
            lines.append(f"| {' | '.join(cells)} |")
            common = result.scores.get("found by all detectors")
            if common:
                cells = [f"{result.model}, faces found by all detectors"]
                cells += [_cell_text(common.get(metric), metric) for metric in metrics]
                lines.append(f"| {' | '.join([*cells, ''])} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cell_text(score: Score | None, metric: str) -> str:
    if score is None:
        return "not estimated"
    unit = METRICS[metric].unit
    between = interval(score, unit)
    few = f", {score.people} people" if score.unsure else ""
    return number(score.value, unit) + (f" ({between}{few})" if between else "")


def overview(results: Sequence[Result], contenders: Sequence[Contender]) -> Table:
    """Return all figures of all faces of one set, the best of a column in bold."""
    ms = {contender.name: contender.ms for contender in contenders}
    metrics = present_metrics(results, tuple(METRICS))
    batches = sorted(ms[results[0].model])
    head = [*map(heading, metrics)]
    head += [f"ms per face{f', {batch} at once' if batch > 1 else ''}" for batch in batches]
    best = {metric: _best(results, metric) for metric in metrics}
    rows = []
    for result in results:
        scores = result.scores["all"]
        cells = [
            metric_cell(scores, metric, best[metric]) if metric in scores else Cell("not estimated")
            for metric in metrics
        ]
        cells += [Cell(f"{ms[result.model][batch]:.1f}") for batch in batches]
        rows.append(Row(result.model, cells))
    return Table(head, rows)


def _best(results: Sequence[Result], metric: str) -> float | None:
    """Return the best of several values; None for a single one, or if none is better."""
    less = METRICS[metric].less_is_better
    values = [r.scores["all"][metric].value for r in results if metric in r.scores["all"]]
    if less is None or len(values) < 2:
        return None
    return min(values) if less else max(values)


def group_table(result: Result) -> Table:
    """Return one network's figures of each group of faces."""
    metrics = present_metrics([result], [name for name in METRICS if name != "gender_auc"])
    rows, kind = [], "all"
    for group in result.groups:
        scores = result.scores[group.name]
        cells = [Cell(str(int(group.rows.sum()))), *(metric_cell(scores, m) for m in metrics)]
        rows.append(Row(group.name, cells, first=group.kind != kind))
        kind = group.kind
    return Table(["faces", *map(heading, metrics)], rows)


def class_table(table: ClassTable) -> Table:
    """Return precision, recall, F1 and support of each class."""
    rows = []
    for i, (name, support) in enumerate(zip(table.names, table.counts.sum(axis=1), strict=True)):
        kinds = ("precision", "recall", "f1")
        cells = [cell(table.scores[f"{kind} {i}"], "share") for kind in kinds]
        rows.append(Row(name, [*cells, Cell(str(support))]))
    return Table(["precision, %", "recall, %", "F1, %", "faces"], rows, table.title)


def band_table(result: Result) -> Table:
    """Return one network's figures of each band of six years, and of men and women of 18-30."""
    metrics = [name for name in _OF_BANDS if any(name in row for row in result.bands.values())]
    rows = []
    for band, scores in result.bands.items():
        faces = max((score.rows for score in scores.values()), default=0)
        cells = [metric_cell(scores, name) for name in metrics]
        rows.append(Row(band, [Cell(str(faces)), *cells]))
    return Table(["faces", *map(heading, metrics)], rows)


def calibration_table(result: Result) -> Table:
    """Return how reliable a network's spreads and probabilities are, by estimated age."""
    rows = []
    for one in result.calibrations:
        values = (*one.within, one.age_error, one.gender_error)
        cells = [Cell(number(value, "share")) for value in values]
        rows.append(Row(one.ages, [Cell(str(one.rows)), *cells]))
    head = ("faces", "ages within one spread, % (68)", "within 1.64, % (90)",
            "error of age intervals, %", "calibration error of gender, %")  # fmt: skip
    return Table(head, rows)


_HEADING = "## Accuracy"


def model_card(results: Sequence[Result], name: str, command: str, old: str = "") -> str:
    """Return a card's text with a new section on accuracy, from one network's results.

    `name` is for a new card, `command` reproduces the figures, and the other sections of the
    existing text `old` are kept.
    """
    section = f"{_HEADING}\n{_accuracy(results)}\n\n`{command}` reproduces these figures.\n"
    pattern = rf"^{_HEADING}[ \t]*\n.*?(?=^## |\Z)"
    how = re.DOTALL | re.MULTILINE
    whole, found = re.subn(pattern, lambda _: section + "\n", old, count=1, flags=how)
    if not found:
        return f"{old.rstrip() or f'# {name}'}\n\n{section}"
    return whole.rstrip() + "\n"


def lost_sets(old: str, command: str) -> list[str]:
    """Return the sets of a card's section on accuracy that `command` does not measure."""
    section = old.partition(f"{_HEADING}\n")[2].partition("\n## ")[0]
    before = re.search(r"^`(.*)` reproduces these figures", section, re.MULTILINE)
    return sorted(_sets_of(before[1]) - _sets_of(command)) if before else []


def _sets_of(command: str) -> set[str]:
    """Return the sets and photographs that a command measures, photographs once per detector."""
    flags = {
        flag: values.split() for flag, values in re.findall(r"--(\S+)((?: (?!--)\S+)*)", command)
    }
    photographs = [name.partition("=")[0] for name in flags.get("folder", [])]
    detectors = flags.get("detector", [])
    found = {f"{name} by {detector}" for name in photographs for detector in detectors}
    return found | set(flags.get("sets", []))


def _accuracy(results: Sequence[Result]) -> str:
    chips = [result for result in results if not result.examples.from_photographs]
    photographs = [result for result in results if result.examples.from_photographs]
    parts = [_table(chips or photographs), _intervals(results)]
    races = [
        f"{result.scores['all']['ethnicity'].value:.3f} on {_plain_title(result)}"
        for result in results
        if "ethnicity" in result.scores["all"]
    ]
    if races:
        parts.append(f"Ethnicity (5 groups): {', '.join(races)}.")
    parts.append(_limits(chips or photographs))
    parts += [_of_photographs(result) for result in photographs]
    return "\n\n".join(part for part in parts if part)


def _table(results: Sequence[Result]) -> str:
    """Return error, bias and gender by group; four columns per set."""
    heads, ages = [], []
    for result in results:
        exact = "mae_years" in result.scores["all"]
        ages.append(
            ("mae_years", "bias_years") if exact else ("outside_years", "outside_bias_years")
        )
        error = "MAE" if exact else "years outside range"
        heads.append(f"{_plain_title(result, split=True)}: n | {error} | bias | gender")
    names = list(dict.fromkeys(group.name for result in results for group in result.groups))
    lines = [f"| | {' | '.join(heads)} |", "|---" * (1 + 4 * len(results)) + "|"]
    for name in names:
        cells = [f"**{name}**" if name == "all" else name]
        for result, (error, bias) in zip(results, ages, strict=True):
            cells += _cells(result, name, error, bias)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cells(result: Result, group: str, error: str, bias: str) -> list[str]:
    rows = [one.rows for one in result.groups if one.name == group]
    scores = result.scores.get(group, {})
    texts = [
        f"{scores[error].value:.2f}" if error in scores else "-",
        f"{scores[bias].value:+.2f}" if bias in scores else "-",
        f"{scores['gender'].value:.3f}" if "gender" in scores else "-",
    ]
    if group == "all":
        texts = [f"**{text}**" if text != "-" and i != 1 else text for i, text in enumerate(texts)]
    return [str(int(rows[0].sum())) if rows else "0", *texts]


def _intervals(results: Sequence[Result]) -> str:
    """Return the 95 % intervals of the first row, in words."""
    found = []
    for result in results:
        texts = []
        for name in ("mae_years", "outside_years", "gender"):
            score = result.scores["all"].get(name)
            if score is None or math.isnan(score.low):
                continue
            if name == "gender":
                texts.append(f"gender {score.low:.3f}–{score.high:.3f}")
            else:
                texts.append(f"{_short(name)} {interval(score, METRICS[name].unit)}")
        if texts:
            found.append(f"{_plain_title(result)}: {', '.join(texts)}")
    return f"95 % intervals: {'; '.join(found)}." if found else ""


def _limits(results: Sequence[Result]) -> str:
    """Return the figures of age bands, limits and spreads, a column per set; "" if none."""
    lines = []
    for name in _OF_CARDS:
        cells = [_limit_text(result.scores["all"].get(name), name) for result in results]
        if any(text != "-" for text in cells):
            lines.append(f"| {METRICS[name].title} | {' | '.join(cells)} |")
    for place, title in enumerate(("within one spread", "within 1.64 spreads")):
        shares = [result.calibrations[0].within[place] for result in results]
        if not all(map(math.isnan, shares)):
            lines.append(f"| {title}, % | {' | '.join(number(s, 'share') for s in shares)} |")
    if not lines:
        return ""
    head = f"| | {' | '.join(set_title(result.examples.name) for result in results)} |"
    return "\n".join([head, "|---" * (1 + len(results)) + "|", *lines])


def _limit_text(score: Score | None, name: str) -> str:
    if score is None:
        return "-"
    unit = METRICS[name].unit
    between = interval(score, unit)
    percent = " %" if unit == "share" else ""
    return number(score.value, unit) + percent + (f" ({between})" if between else "")


def _short(metric: str) -> str:
    return "MAE" if metric == "mae_years" else METRICS[metric].title


def _of_photographs(result: Result) -> str:
    """Return a line on photographs that went through the whole path."""
    chips, missed = result.examples.chips, result.examples.missed
    total = len(chips) + (0 if missed is None else len(missed))
    scores = result.scores["all"]
    texts = [
        f"{_short(name)} {number(scores[name].value, 'years')} years"
        for name in ("mae_years", "outside_years")
        if name in scores
    ]
    if "gender" in scores:
        texts.append(f"gender {scores['gender'].value:.3f}")
    return (
        f"{set_title(result.examples.name)}, photographs through the whole path: "
        f"{', '.join(texts)} on the {len(chips)} of {total} faces found."
    )


def _plain_title(result: Result, split: bool = False) -> str:
    title = set_title(result.examples.name)
    return title if split or result.examples.from_photographs else title.partition(" ")[0]
