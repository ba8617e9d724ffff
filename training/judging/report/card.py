"""The section on accuracy of a model card, as those in weights/ have it."""

import math
import re
from collections.abc import Sequence

from training.judging.report.tables import interval, number, set_title
from training.judging.results import Result
from training.judging.scores import METRICS

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
