"""Charts of the page: their style, classes and certainty, and networks side by side.

Colours are those of Okabe and Ito, distinct for people who are colour-blind; nothing is shown by
colour alone. Charts are as wide as a phone can show with readable letters, on white, in light and
dark pages alike.
"""

import base64
import io
import math
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.util import find_spec
from typing import Any, NamedTuple, ParamSpec

import numpy as np

from errors import SinkError
from training.judging.accuracy import calibration_error, signed_years
from training.judging.contenders import Contender
from training.judging.report.tables import by_set, heading, set_title
from training.judging.results import ClassTable, Result
from training.judging.scores import METRICS, Score

_P = ParamSpec("_P")

INK, SOFT, LINE = "#1f2329", "#6a727d", "#d5d9df"
MAIN, ACCENT, BAND = "#0072b2", "#d55e00", "#e69f00"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5a5f66", "#b8a800")
MARKERS = "osD^vPX*"
WIDTH_IN = 4.4
DPI = 170
_DARK = 0.6  # share of a cell above which its letters are white
# Errors of age to compare: of these, the one that a set has.
_AGE = ("mae_years", "outside_years")
_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
}


class Drawing(NamedTuple):
    """A drawn chart: a `data:` address with the image file, and what it shows."""

    source: str
    caption: str


def check() -> None:
    """Raise SinkError unless the packages that draw are installed, before anything takes time."""
    for package in ("matplotlib", "jinja2"):
        if find_spec(package) is None:
            raise SinkError(f"the report needs {package}; pip install '.[train]'")


def drawn(
    draw: Callable[_P, tuple[Any, str] | None],
) -> Callable[_P, Drawing | None]:
    """Wrap a function that returns a figure and its caption to draw in the page's style."""

    @wraps(draw)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> Drawing | None:
        import matplotlib as mpl

        with mpl.rc_context(_RC):
            found = draw(*args, **kwargs)
            if found is None:
                return None
            figure, caption = found
            data = io.BytesIO()
            # Lossless, at two fifths of the size of PNG.
            figure.savefig(data, format="webp", pil_kwargs={"lossless": True, "method": 2})
        return Drawing(data_address(data.getvalue(), "webp"), caption)

    return wrapper


def data_address(data: bytes, kind: str) -> str:
    """Return an address that contains an image file; `kind` is "webp", "jpeg" ..."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def sheet(
    rows: int = 1, columns: int = 1, height_in: float = 3.4, **shared: Any
) -> tuple[Any, Any]:
    """Return a `Figure` and its (rows, columns) array of axes.

    `height_in` is that of the whole, inches; `shared` are sharex and sharey of `subplots`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


@drawn
def matrix(table: ClassTable) -> tuple[Any, str]:
    """Draw a confusion matrix: shares of each true class, and numbers of faces."""
    counts = table.counts
    totals = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(totals, 1)
    size = len(table.names)
    figure, ((axis,),) = sheet(height_in=1.6 + 0.36 * size + (size < 4) * 0.6)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), part in np.ndenumerate(share):
        if counts[i, j]:
            text = f"{100 * part:.0f}" if size > 8 else f"{100 * part:.0f} %\n{counts[i, j]}"
            colour = "white" if part > _DARK else INK
            axis.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
    turn = {"rotation": 45, "ha": "right"} if size > 6 else {}
    axis.set_xticks(range(size), table.names, fontsize=9, **turn)
    axis.set_yticks(range(size), table.names, fontsize=9)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set(xlabel="estimated", ylabel="labelled")
    correct = np.trace(counts) / max(1, counts.sum())
    unit = "per cent of each row" if size > 8 else "per cent of each row, and faces"
    caption = f"{table.title}: {100 * correct:.1f} % of {counts.sum()} faces are correct; {unit}."
    return figure, caption


def sureness(result: Result) -> list[Drawing]:
    """Return charts of how far probabilities of gender and spreads of age can be trusted."""
    return [drawing for drawing in (_curve(result), _coverage(result)) if drawing]


@drawn
def _curve(result: Result) -> tuple[Any, str] | None:
    if not result.curve:
        return None
    probs = [one.told for one in result.curve]
    rows = [one.rows for one in result.curve]
    figure, axes = sheet(2, 1, 4.2, sharex=True, height_ratios=(3, 1))
    above, below = axes[:, 0]
    above.plot((0, 1), (0, 1), color=SOFT, lw=1)
    true = [one.true for one in result.curve]
    above.plot(probs, true, color=MAIN, lw=2, marker="o", ms=5)
    above.set(ylabel="share that is female", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    above.set_title(f"calibration error {calibration_error(result.curve):.3f}")
    below.bar(probs, rows, width=0.06, color=SOFT)
    below.set(
        xlabel="estimated probability of female", ylabel="faces", yscale="log", ylim=(0.7, None)
    )
    tens = [10**n for n in range(6) if 10**n <= 1.5 * max(rows)]
    below.set_yticks(tens, [str(n) for n in tens])
    below.set_yticks([], minor=True)
    for axis in (above, below):
        axis.grid(True)
    caption = (
        "How often a probability of gender is right: on the grey line it means what it says. "
        "Below, the number of faces of each point."
    )
    return figure, caption


@drawn
def _coverage(result: Result) -> tuple[Any, str] | None:
    chips, estimates = result.examples.chips, result.estimates
    exact = chips.age_low == chips.age_high
    if not exact.any():
        return None
    z = np.abs(signed_years(chips, estimates))[exact] / np.maximum(
        estimates.age_spread_years[exact], 1e-6
    )
    steps = np.linspace(0, 3, 61)
    share = [(z <= step).mean() for step in steps]
    figure, ((axis,),) = sheet()
    normal = [math.erf(step / math.sqrt(2)) for step in steps]
    axis.plot(steps, normal, color=SOFT, lw=1.4, label="as it should be")
    axis.plot(steps, share, color=MAIN, lw=2, ls="--", label="as it is")
    axis.set(xlabel="error, in estimated spreads", ylabel="share of faces within")
    axis.set(xlim=(0, 3), ylim=(0, 1.02))
    axis.set_title(f"within one spread {100 * (z <= 1).mean():.0f} % (68 % would be right)")
    axis.legend(loc="lower right")
    axis.grid(True)
    caption = (
        "Whether the estimated spread of an age can be trusted: above the grey line it is too "
        "wide, below too narrow."
    )
    return figure, caption


def comparisons(results: Sequence[Result], contenders: Sequence[Contender]) -> list[Drawing]:
    """Return bars of each set, then accuracy against time of each set."""
    sets = by_set(results).values()
    drawings = [_bars(found) for found in sets]
    drawings += [_against_time(found, contenders) for found in sets]
    return [drawing for drawing in drawings if drawing]


def panels_of(results: Sequence[Result]) -> list[str]:
    """Return the metrics that get a panel: an error of ages, and gender."""
    found = [result.scores["all"] for result in results]
    ages = [name for name in _AGE if any(name in scores for scores in found)][:1]
    return ages + ["gender"] * any("gender" in scores for scores in found)


@drawn
def _bars(results: Sequence[Result]) -> tuple[Any, str] | None:
    name, panels = results[0].examples.name, panels_of(results)
    if not panels:
        return None
    height = 0.7 + len(panels) * (0.75 + 0.34 * len(results))
    figure, axes = sheet(len(panels), 1, height)
    for axis, metric in zip(axes[:, 0], panels, strict=True):
        _bar_panel(axis, results, metric)
    caption = f"{set_title(name)}: {_said(panels)} of each network; the lines are 95 % intervals."
    return figure, caption


def _bar_panel(axis: Any, results: Sequence[Result], metric: str) -> None:
    scale = 100 if METRICS[metric].unit == "share" else 1
    for i, result in enumerate(results):
        score = result.scores["all"].get(metric)
        if score is None:
            continue
        value = scale * score.value
        axis.barh(i, value, color=COLOURS[i % len(COLOURS)], height=0.66)
        axis.errorbar(value, i, xerr=_arms(score, scale), color=INK, capsize=3, lw=1.2)
        end = scale * (score.value if np.isnan(score.high) else score.high)
        text = f"{value:.1f}" if scale == 100 else f"{value:.2f}"
        axis.annotate(text, (end, i), (5, 0), textcoords="offset points", va="center", fontsize=9)
    axis.set_yticks(range(len(results)), [result.model for result in results], fontsize=9)
    axis.invert_yaxis()
    axis.tick_params(axis="y", length=0)
    axis.margins(x=0.12)
    axis.set_xlim(left=0)
    # Right-aligned with the bars; a long title then starts above the names.
    axis.set_title(f"{heading(metric)}{_better(metric)}", loc="right")


@drawn
def _against_time(
    results: Sequence[Result], contenders: Sequence[Contender]
) -> tuple[Any, str] | None:
    name, panels = results[0].examples.name, panels_of(results)
    if not panels:
        return None
    ms = {contender.name: contender.ms for contender in contenders}
    figure, axes = sheet(len(panels), 1, 0.9 + 2.3 * len(panels), sharex=True)
    for axis, metric in zip(axes[:, 0], panels, strict=True):
        scale = 100 if METRICS[metric].unit == "share" else 1
        for i, result in enumerate(results):
            score = result.scores["all"].get(metric)
            if score is not None and 1 in ms[result.model]:
                axis.errorbar(
                    ms[result.model][1], scale * score.value, yerr=_arms(score, scale),
                    fmt=MARKERS[i % 8], color=COLOURS[i % 8], ms=8, capsize=3,
                    label=result.model,
                )  # fmt: skip
        axis.margins(0.12)
        axis.grid(True)
        axis.set_ylabel(heading(metric))
        axis.set_title(_better(metric).removeprefix("; "), fontsize=9, color=SOFT)
    axes[-1, 0].set_xlabel("milliseconds per face, one at a time")
    slowest = max(axis.dataLim.x1 for axis in axes[:, 0])
    for axis in axes[:, 0]:
        axis.set_xlim(0, 1.25 * slowest if np.isfinite(slowest) and slowest > 0 else 1)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=1)
    caption = f"{set_title(name)}: {_said(panels)} against time, measured in this run."
    return figure, caption


def _arms(score: Score, scale: float) -> Any:
    """Return the lengths of an error bar's two arms, (2, 1); None without an interval."""
    arms = np.array([[score.value - score.low], [score.high - score.value]]) * scale
    return None if np.isnan(arms).any() else np.maximum(arms, 0)


def _better(metric: str) -> str:
    less = METRICS[metric].less_is_better
    return "" if less is None else "; less is better" if less else "; more is better"


def _said(panels: Sequence[str]) -> str:
    return " and ".join(METRICS[name].title for name in panels)
