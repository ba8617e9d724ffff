"""Figures of questions with classes: what is taken for what, and how sure to be of it."""

import math
from html import escape

import numpy as np

from training.judging.metrics import calibration_error, signed_years
from training.judging.report import style
from training.judging.report.tables import cell
from training.judging.results import ClassTable, Result

_DARK = 0.6  # share above which letters are white


def matrix(table: ClassTable) -> str:
    """A confusion matrix: shares of each true class, and numbers of faces."""
    counts = table.counts
    totals = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(totals, 1)
    size = len(table.names)
    with style.look():
        figure, ((axis,),) = style.sheet(height_in=1.6 + 0.36 * size + (size < 4) * 0.6)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (i, j), part in np.ndenumerate(share):
            if counts[i, j]:
                text = f"{100 * part:.0f}" if size > 8 else f"{100 * part:.0f} %\n{counts[i, j]}"
                colour = "white" if part > _DARK else style.INK
                axis.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
        turn = {"rotation": 45, "ha": "right"} if size > 6 else {}
        axis.set_xticks(range(size), table.names, fontsize=9, **turn)
        axis.set_yticks(range(size), table.names, fontsize=9)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        axis.set(xlabel="told", ylabel="labelled")
        right = np.trace(counts) / max(1, counts.sum())
        unit = "per cent of each row" if size > 8 else "per cent of each row, and faces"
        caption = (
            f"{table.title}: {100 * right:.1f} % of {counts.sum()} faces are told right; {unit}."
        )
        return style.embed(figure, caption)


def sureness(result: Result) -> list[str]:
    """Whether probabilities of gender, and spreads of age, can be believed."""
    return ([_curve(result)] if result.curve else []) + _coverage(result)


def _curve(result: Result) -> str:
    told = [one.told for one in result.curve]
    rows = [one.rows for one in result.curve]
    with style.look():
        figure, axes = style.sheet(2, 1, 4.2, sharex=True, height_ratios=(3, 1))
        above, below = axes[:, 0]
        above.plot((0, 1), (0, 1), color=style.SOFT, lw=1)
        true = [one.true for one in result.curve]
        above.plot(told, true, color=style.MAIN, lw=2, marker="o", ms=5)
        above.set(ylabel="share that is female", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        above.set_title(f"calibration error {calibration_error(result.curve):.3f}")
        below.bar(told, rows, width=0.06, color=style.SOFT)
        below.set(
            xlabel="told probability of female", ylabel="faces", yscale="log", ylim=(0.7, None)
        )
        tens = [10**n for n in range(6) if 10**n <= 1.5 * max(rows)]
        below.set_yticks(tens, [str(n) for n in tens])
        below.set_yticks([], minor=True)
        for axis in (above, below):
            axis.grid(True)
        caption = (
            "How often a probability of gender is right: on the grey line it means what it says. "
            "Below, how many faces each point is made of."
        )
        return style.embed(figure, caption)


def _coverage(result: Result) -> list[str]:
    chips, told = result.examples.chips, result.told
    exact = chips.age_low == chips.age_high
    if not exact.any():
        return []
    z = np.abs(signed_years(chips, told))[exact] / np.maximum(told.age_spread_years[exact], 1e-6)
    steps = np.linspace(0, 3, 61)
    share = [(z <= step).mean() for step in steps]
    with style.look():
        figure, ((axis,),) = style.sheet()
        normal = [math.erf(step / math.sqrt(2)) for step in steps]
        axis.plot(steps, normal, color=style.SOFT, lw=1.4, label="as it should be")
        axis.plot(steps, share, color=style.MAIN, lw=2, ls="--", label="as it is")
        axis.set(xlabel="error, in spreads that were told", ylabel="share of faces within")
        axis.set(xlim=(0, 3), ylim=(0, 1.02))
        axis.set_title(f"within one spread {100 * (z <= 1).mean():.0f} % (68 % would be right)")
        axis.legend(loc="lower right")
        axis.grid(True)
        caption = (
            "Whether the spread that is told with an age can be believed: above the grey line it "
            "is too wide, below too narrow."
        )
        return [style.embed(figure, caption)]


def class_table(table: ClassTable) -> str:
    """Precision, recall, F1 and support of each class as an HTML table."""
    support = table.counts.sum(axis=1)
    rows = []
    for i, name in enumerate(table.names):
        cells = "".join(
            f"<td>{cell(table.scores[f'{kind} {i}'], 'share')}</td>"
            for kind in ("precision", "recall", "f1")
        )
        rows.append(f"<tr><th>{escape(name)}</th>{cells}<td>{support[i]}</td></tr>")
    head = "<tr><th></th><th>precision, %</th><th>recall, %</th><th>F1, %</th><th>faces</th></tr>"
    caption = f"<caption>{escape(table.title)}</caption>"
    return f'<div class="wide"><table>{caption}{head}{"".join(rows)}</table></div>'
