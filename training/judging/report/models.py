"""Figures that compare networks: bars for each set, and accuracy against time."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.judging.contenders import Contender
from training.judging.report import style
from training.judging.report.tables import heading, set_title
from training.judging.results import Result
from training.judging.scores import METRICS, Score

# What is compared, as far as it is labelled: of the first two, the one that a set has.
_AGE = ("mae_years", "outside_years")


def figures(results: Sequence[Result], contenders: Sequence[Contender]) -> list[str]:
    """Bars of each set, then accuracy against time of each set, as HTML."""
    sets = list(dict.fromkeys(result.examples.name for result in results))
    found = []
    for draw in (_bars, _against_time):
        for name in sets:
            of_set = [result for result in results if result.examples.name == name]
            panels = panels_of(of_set)
            if panels:
                found.append(draw(name, of_set, panels, contenders))
    return found


def panels_of(results: Sequence[Result]) -> list[str]:
    """The metrics worth a panel: an error of ages, and gender."""
    told = [result.scores["all"] for result in results]
    ages = [name for name in _AGE if any(name in scores for scores in told)][:1]
    return ages + ["gender"] * any("gender" in scores for scores in told)


def _bars(
    name: str, results: Sequence[Result], panels: Sequence[str], contenders: Sequence[Contender]
) -> str:
    height = 0.7 + len(panels) * (0.75 + 0.34 * len(results))
    with style.look():
        figure, axes = style.sheet(len(panels), 1, height)
        for axis, metric in zip(axes[:, 0], panels, strict=True):
            _bar_panel(axis, results, metric)
        caption = (
            f"{set_title(name)}: {_said(panels)} of each network; the lines are 95 % intervals."
        )
        return style.embed(figure, caption)


def _bar_panel(axis: Any, results: Sequence[Result], metric: str) -> None:
    scale = 100 if METRICS[metric].unit == "share" else 1
    for i, result in enumerate(results):
        score = result.scores["all"].get(metric)
        if score is None:
            continue
        value = scale * score.value
        axis.barh(i, value, color=style.COLOURS[i % len(style.COLOURS)], height=0.66)
        axis.errorbar(value, i, xerr=_arms(score, scale), color=style.INK, capsize=3, lw=1.2)
        end = scale * (score.value if np.isnan(score.high) else score.high)
        text = f"{value:.1f}" if scale == 100 else f"{value:.2f}"
        axis.annotate(text, (end, i), (5, 0), textcoords="offset points", va="center", fontsize=9)
    axis.set_yticks(range(len(results)), [result.model for result in results], fontsize=9)
    axis.invert_yaxis()
    axis.tick_params(axis="y", length=0)
    axis.margins(x=0.12)
    axis.set_xlim(left=0)
    # Ends with the bars, so that it may begin above the names.
    axis.set_title(f"{heading(metric)}{_better(metric)}", loc="right")


def _against_time(
    name: str, results: Sequence[Result], panels: Sequence[str], contenders: Sequence[Contender]
) -> str:
    ms = {contender.name: contender.ms for contender in contenders}
    with style.look():
        figure, axes = style.sheet(len(panels), 1, 0.9 + 2.3 * len(panels), sharex=True)
        for axis, metric in zip(axes[:, 0], panels, strict=True):
            scale = 100 if METRICS[metric].unit == "share" else 1
            for i, result in enumerate(results):
                score = result.scores["all"].get(metric)
                if score is not None and 1 in ms[result.model]:
                    axis.errorbar(
                        ms[result.model][1], scale * score.value, yerr=_arms(score, scale),
                        fmt=style.MARKERS[i % 8], color=style.COLOURS[i % 8], ms=8, capsize=3,
                        label=result.model,
                    )  # fmt: skip
            axis.margins(0.12)
            axis.grid(True)
            axis.set_ylabel(heading(metric))
            axis.set_title(_better(metric).removeprefix("; "), fontsize=9, color=style.SOFT)
        axes[-1, 0].set_xlabel("milliseconds a face, one at a time")
        _autoscale_from_zero(axes[:, 0])
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=1)
        caption = f"{set_title(name)}: {_said(panels)} against time, measured in this run."
        return style.embed(figure, caption)


def _autoscale_from_zero(axes: Sequence[Any]) -> None:
    """Time begins at 0; a quarter more than the slowest is shown."""
    slowest = max(axis.dataLim.x1 for axis in axes)
    for axis in axes:
        axis.set_xlim(0, 1.25 * slowest if np.isfinite(slowest) and slowest > 0 else 1)


def _arms(score: Score, scale: float) -> Any:
    """Lengths of the two arms of an error bar, (2, 1); none where there is no interval."""
    arms = np.array([[score.value - score.low], [score.high - score.value]]) * scale
    return None if np.isnan(arms).any() else np.maximum(arms, 0)


def _better(metric: str) -> str:
    less = METRICS[metric].less_is_better
    return "" if less is None else "; less is better" if less else "; more is better"


def _said(panels: Sequence[str]) -> str:
    return " and ".join(METRICS[name].title for name in panels)
