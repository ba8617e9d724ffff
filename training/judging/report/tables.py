"""Tables of figures: Markdown for the terminal, HTML for the page."""

import math
import re
from collections.abc import Sequence
from html import escape

from training.judging.contenders import Contender
from training.judging.results import Result
from training.judging.scores import METRICS, Score

_BRIEF = ("mae_years", "cs5", "outside_years", "class7", "class8", "class12", "gender",
          "gender_auc", "ethnicity")  # fmt: skip
# What sets are called by those who made them.
_TITLES = {"utkface": "UTKFace", "fairface": "FairFace", "fgnet": "FG-NET", "lfw": "LFW",
           "adience": "Adience", "imdb": "IMDB", "wiki": "WIKI", "appa": "APPA-REAL"}  # fmt: skip


def number(value: float, unit: str, signed: bool = False) -> str:
    """A figure as text: shares in per cent, without the sign of that."""
    if math.isnan(value):
        return "–"
    if unit == "share":
        return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    if unit == "years":
        return f"{value:+.2f}" if signed else f"{value:.2f}"
    return f"{value:.3f}"


def interval(score: Score, unit: str, signed: bool = False) -> str:
    """The interval as text, "" where there is none."""
    if math.isnan(score.low):
        return ""
    low, high = number(score.low, unit, signed), number(score.high, unit, signed)
    return f"{low} to {high}" if signed else f"{low}–{high}"


def cell(score: Score | None, unit: str, signed: bool = False, best: bool = False) -> str:
    """HTML of a figure with its interval; grey where it rests on few faces."""
    if score is None or math.isnan(score.value):
        return "–"
    text = number(score.value, unit, signed)
    text = f"<b>{text}</b>" if best else text
    html = f"{text} <small>{interval(score, unit, signed)}</small>"
    return f'<span class="unsure" title="few faces">{html}</span>' if score.unsure else html


def set_title(name: str) -> str:
    """What a set is called, from the name of its files: "utkface test" -> "UTKFace test"."""
    first, blank, rest = name.partition(" ")
    return _TITLES.get(first.lower(), first) + blank + rest


def breakable(name: str) -> str:
    """HTML of a name that may go over two lines at its underscores."""
    return escape(name).replace("_", "_<wbr>")


def heading(metric: str) -> str:
    """The title of a metric's column with its unit."""
    unit = {"share": ", %", "years": "" if "years" in METRICS[metric].title else ", years"}
    return METRICS[metric].title + unit.get(METRICS[metric].unit, "")


def by_set(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results of each set."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.examples.name, []).append(result)
    return found


def told_metrics(results: Sequence[Result], wanted: Sequence[str]) -> list[str]:
    """Those of `wanted` that at least one of the results has."""
    return [name for name in wanted if any(name in result.scores["all"] for result in results)]


def count_line(result: Result) -> str:
    """How many faces a set has, and what is missing of it, in words."""
    chips, missed = result.examples.chips, result.examples.missed
    text = f"{len(chips)} faces"
    if missed is not None:
        text += f" found in {len(chips) + len(missed)} photographs, {len(missed)} missed"
    lacking = [
        name
        for name, there in (
            ("age", not all(math.isnan(age) for age in chips.age_low)),
            ("gender", not all(math.isnan(female) for female in chips.female)),
            ("ethnicity", bool((chips.race >= 0).any())),
        )
        if not there
    ]
    return text + (f"; not labelled: {', '.join(lacking)}" if lacking else "")


def short_table(results: Sequence[Result], contenders: Sequence[Contender]) -> str:
    """The figures that matter most, as Markdown: a table for each set."""
    ms = {contender.name: contender.ms for contender in contenders}
    parts = []
    for name, found in by_set(results).items():
        metrics = told_metrics(found, _BRIEF)
        titles = ["", *map(heading, metrics), "ms a face"]
        lines = [f"**{set_title(name)}**: {count_line(found[0])}", ""]
        lines += [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
        for result in found:
            cells = [result.model, *(_text(result, metric) for metric in metrics)]
            cells.append(f"{ms[result.model].get(1, math.nan):.1f}")
            lines.append(f"| {' | '.join(cells)} |")
            common = result.scores.get("found by all detectors")
            if common:
                cells = [f"{result.model}, faces found by all detectors"]
                cells += [_cell_text(common.get(metric), metric) for metric in metrics]
                lines.append(f"| {' | '.join([*cells, ''])} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _text(result: Result, metric: str) -> str:
    return _cell_text(result.scores["all"].get(metric), metric)


def _cell_text(score: Score | None, metric: str) -> str:
    if score is None:
        return "not told"
    unit = METRICS[metric].unit
    between = interval(score, unit)
    few = f", {score.people} people" if score.unsure else ""
    return number(score.value, unit) + (f" ({between}{few})" if between else "")


def overview(results: Sequence[Result], contenders: Sequence[Contender]) -> str:
    """All figures of all faces as HTML: a table for each set, the best of a column in bold."""
    ms = {contender.name: contender.ms for contender in contenders}
    parts = []
    for name, found in by_set(results).items():
        metrics = told_metrics(found, tuple(METRICS))
        head = "".join(f"<th>{escape(heading(metric))}</th>" for metric in metrics)
        best = {metric: _best(found, metric) for metric in metrics}
        rows = []
        for result in found:
            cells = [
                cell(
                    score := result.scores["all"].get(metric),
                    METRICS[metric].unit,
                    METRICS[metric].signed,
                    score is not None and score.value == best[metric],
                )
                if metric in result.scores["all"]
                else "not told"
                for metric in metrics
            ]
            cells += [f"{ms[result.model][batch]:.1f}" for batch in sorted(ms[result.model])]
            tds = "".join(f"<td>{text}</td>" for text in cells)
            rows.append(f"<tr><th>{breakable(result.model)}</th>{tds}</tr>")
        batches = sorted(ms[found[0].model])
        head += "".join(
            f"<th>ms a face{f', {batch} at once' if batch > 1 else ''}</th>" for batch in batches
        )
        title = f"<h3>{escape(set_title(name))}</h3><p>{escape(count_line(found[0]))}</p>"
        table = f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"
        parts.append(f'{title}<div class="wide">{table}</div>')
    return "".join(parts)


def _best(results: Sequence[Result], metric: str) -> float | None:
    """The best value of several; None where there are not several, or none is better."""
    less = METRICS[metric].less_is_better
    values = [r.scores["all"][metric].value for r in results if metric in r.scores["all"]]
    if less is None or len(values) < 2:
        return None
    return min(values) if less else max(values)


def group_table(result: Result) -> str:
    """One network's figures of each group of faces, as HTML."""
    metrics = told_metrics([result], [name for name in METRICS if name != "gender_auc"])
    head = "".join(f"<th>{escape(heading(metric))}</th>" for metric in metrics)
    rows, kind = [], "all"
    for group in result.groups:
        cells = "".join(
            "<td>"
            + cell(result.scores[group.name].get(name), METRICS[name].unit, METRICS[name].signed)
            + "</td>"
            for name in metrics
        )
        start = ' class="first"' if group.kind != kind else ""
        kind = group.kind
        count = int(group.rows.sum())
        rows.append(f"<tr{start}><th>{escape(group.name)}</th><td>{count}</td>{cells}</tr>")
    table = f"<table><tr><th></th><th>faces</th>{head}</tr>{''.join(rows)}</table>"
    return f'<div class="wide">{table}</div>'


_HEADING = "## Accuracy"
_SHARE = "{:.3f}"


def model_card(results: Sequence[Result], name: str, command: str, old: str = "") -> str:
    """A card's text with a new section on accuracy.

    Args:
        results: of one network on several sets.
        name: of the card, for a new one.
        command: that makes these figures.
        old: the text of the card there is, whose other sections are kept.
    """
    section = f"{_HEADING}\n{_accuracy(results)}\n\n`{command}` makes these figures.\n"
    if _HEADING not in old:
        start = old.rstrip() or f"# {name}"
        return f"{start}\n\n{section}"
    pattern = rf"^{_HEADING}\n.*?(?=^## |\Z)"
    fits = re.sub(pattern, lambda _: section + "\n", old, count=1, flags=re.DOTALL | re.MULTILINE)
    return fits.rstrip() + "\n"


def _accuracy(results: Sequence[Result]) -> str:
    chips = [result for result in results if result.examples.missed is None]
    photographs = [result for result in results if result.examples.missed is not None]
    parts = [_table(chips or photographs), _intervals(results)]
    races = [
        f"{result.scores['all']['ethnicity'].value:.3f} on {_plain_title(result)}"
        for result in results
        if "ethnicity" in result.scores["all"]
    ]
    if races:
        parts.append(f"Ethnicity (5 groups): {', '.join(races)}.")
    parts += [_of_photographs(result) for result in photographs]
    return "\n\n".join(part for part in parts if part)


def _table(results: Sequence[Result]) -> str:
    """Error, bias and gender by group; four columns for each set."""
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
    """The 95 % intervals of the first row, in words."""
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


def _short(metric: str) -> str:
    return "MAE" if metric == "mae_years" else METRICS[metric].title


def _of_photographs(result: Result) -> str:
    """One line on photographs that went through the whole path."""
    chips, missed = result.examples.chips, result.examples.missed
    total = len(chips) + (0 if missed is None else len(missed))
    scores = result.scores["all"]
    texts = [
        f"{_short(name)} {number(scores[name].value, 'years')} years"
        for name in ("mae_years", "outside_years")
        if name in scores
    ]
    if "gender" in scores:
        texts.append(f"gender {_SHARE.format(scores['gender'].value)}")
    return (
        f"{set_title(result.examples.name)}, photographs through the whole path: "
        f"{', '.join(texts)} on the {len(chips)} of {total} faces found."
    )


def _plain_title(result: Result, split: bool = False) -> str:
    title = set_title(result.examples.name)
    return title if split or result.examples.missed is not None else title.partition(" ")[0]
