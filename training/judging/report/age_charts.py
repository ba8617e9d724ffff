"""Charts of age errors: their size and direction, overall and by group."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.judging.accuracy import Float64, signed_years
from training.judging.report import charts
from training.judging.results import Result
from training.judging.scores import Group

_OLDEST = 100
_MOST_POINTS = 1500  # drawn; more hide one another
_FEWEST = 10  # faces for a violin


def drawings(result: Result) -> list[charts.Drawing]:
    """Return all charts of ages; none if no age is labelled."""
    chips = result.examples.chips
    labelled = ~np.isnan(chips.age_low)
    if not labelled.any():
        return []
    exact = bool((chips.age_low == chips.age_high)[labelled].mean() > 0.5)
    what = "estimated minus labelled age, years" if exact else "years outside the labelled range"
    found = [errors(result, what), estimated_by_label(result, "all", exact)]
    found += [estimated_by_label(result, kind, exact) for kind in ("gender", "ethnicity", "age")
              if sum(group.kind == kind for group in result.groups) > 1]  # fmt: skip
    found.append(trend(result, what))
    found += [violins(result, kind, what) for kind in ("age", "gender", "ethnicity")]
    return [drawing for drawing in found if drawing]


@charts.drawn
def errors(result: Result, what: str) -> tuple[Any, str] | None:
    """Draw the distribution of the errors."""
    error = signed_years(result.examples.chips, result.estimates)
    error = error[~np.isnan(error)]
    limit = max(10.0, float(np.ceil(np.quantile(np.abs(error), 0.99) / 5) * 5))
    figure, ((axis,),) = charts.sheet()
    steps = np.arange(-limit - 0.5, limit + 1)
    axis.hist(error.clip(-limit, limit), steps, color=charts.MAIN)
    axis.axvline(0, color=charts.INK, lw=1)
    axis.axvline(error.mean(), color=charts.ACCENT, lw=1.8, ls="--")
    axis.set(xlabel=what, ylabel="faces", xlim=(-limit - 0.5, limit + 0.5))
    axis.set_title(f"mean {error.mean():+.1f} years (dashed)")
    caption = (
        f"Distribution of the error; half lie within {np.median(np.abs(error)):.1f} years, "
        f"nine of ten within {np.quantile(np.abs(error), 0.9):.1f}. "
        "The outermost bars hold all larger errors."
    )
    return figure, caption


@charts.drawn
def estimated_by_label(result: Result, kind: str, exact: bool) -> tuple[Any, str] | None:
    """Draw estimated against labelled ages: of all faces, or a panel per group of a kind."""
    chips = result.examples.chips
    groups = [group for group in result.groups if group.kind == kind]
    groups = [g for g in groups if (g.rows & ~np.isnan(chips.age_low)).sum() >= 2]
    if not groups:
        return None
    columns = 1 if len(groups) == 1 else 2
    rows = -(-len(groups) // columns)
    height = 4.6 if len(groups) == 1 else 0.5 + 2.3 * rows
    figure, axes = charts.sheet(rows, columns, height, sharex=kind != "age", sharey=kind != "age")
    for axis in axes.flat[len(groups) :]:
        axis.set_visible(False)
    for axis, group in zip(axes.flat, groups, strict=False):
        _cloud(axis, result, group, exact, kind)
    figure.supxlabel("labelled age, years", fontsize=10)
    figure.supylabel("estimated age, years", fontsize=10)
    by = "" if kind == "all" else f" by {'age group' if kind == 'age' else kind}"
    shown = "points are faces" if exact else "violins are faces, bars the labelled ranges"
    caption = f"Estimated against labelled age{by}; {shown}, on the grey line they are equal"
    medians = ", the thick one the median estimate" if exact and kind != "age" else ""
    return figure, f"{caption}{medians}."


def _cloud(axis: Any, result: Result, group: Group, exact: bool, kind: str) -> None:
    chips, estimates = result.examples.chips, result.estimates
    rows = np.flatnonzero(group.rows & ~np.isnan(chips.age_low))
    low, high = chips.age_low[rows], np.minimum(chips.age_high[rows], _OLDEST)
    years = estimates.age_years[rows]
    axis.plot((0, _OLDEST), (0, _OLDEST), color=charts.SOFT, lw=1)
    if exact:
        some = np.random.default_rng(0).permutation(len(rows))[:_MOST_POINTS]
        shift = np.random.default_rng(1).uniform(-0.4, 0.4, len(some))
        axis.scatter(low[some] + shift, years[some], s=7, alpha=0.4, lw=0, color=charts.MAIN)
        if len(rows) >= _FEWEST and kind != "age":
            axis.plot(*_running_median(low, years), color=charts.ACCENT, lw=2)
    else:
        _range_violins(axis, low, high, years)
    if kind != "all":
        axis.set_title(f"{group.name} ({len(rows)})")
    axis.grid(True)
    start, end = (0, _OLDEST) if kind != "age" else _limits(low, high)
    axis.set(xlim=(start, end), ylim=(0, _OLDEST) if kind != "age" else _limits(years, years))
    if kind == "all":
        axis.set_aspect("equal")


def _limits(low: Any, high: Any) -> tuple[float, float]:
    """Return the ends of an axis, with a margin."""
    return max(0.0, float(low.min()) - 2), float(high.max()) + 2


def _running_median(ages: Any, years: Any) -> tuple[Float64, Float64]:
    """Return medians of the estimates per five labelled years with enough faces."""
    middles, medians = [], []
    for start in range(0, _OLDEST + 20, 5):
        rows = (ages >= start) & (ages < start + 5)
        if rows.sum() >= 5:
            middles.append(float(ages[rows].mean()))
            medians.append(float(np.median(years[rows])))
    return np.array(middles), np.array(medians)


def _range_violins(axis: Any, low: Any, high: Any, years: Any) -> None:
    """Draw each labelled range as a bar, and a violin of estimated ages in its middle."""
    for start, end in sorted(set(zip(low.tolist(), high.tolist(), strict=True))):
        rows = (low == start) & (high == end)
        middle, width = (start + end) / 2, max(1.0, end - start)
        axis.fill_between((start, end), start, end, color=charts.BAND, alpha=0.35, lw=0)
        if rows.sum() >= _FEWEST and np.ptp(years[rows]) > 0:
            _violin(axis, [years[rows]], [middle], 0.8 * min(width, 12))
        else:
            axis.scatter(np.full(rows.sum(), middle), years[rows], s=5, color=charts.MAIN)


def _violin(axis: Any, values: Sequence[Any], places: Sequence[float], width: float) -> None:
    parts = axis.violinplot(values, places, widths=width, showextrema=False, showmedians=True)
    for body in parts["bodies"]:
        body.set(facecolor=charts.MAIN, alpha=0.55, edgecolor=charts.MAIN)
    parts["cmedians"].set(color=charts.ACCENT, linewidth=2)


@charts.drawn
def trend(result: Result, what: str) -> tuple[Any, str] | None:
    """Draw the error against the labelled age, with its regression line."""
    chips = result.examples.chips
    error = signed_years(chips, result.estimates)
    rows = np.flatnonzero(~np.isnan(error))
    age = ((chips.age_low + np.minimum(chips.age_high, _OLDEST)) / 2)[rows].astype(np.float64)
    if len(np.unique(age)) < 2:
        return None
    slope, start = np.polyfit(age, error[rows], 1)
    half = _slope_error(age, error[rows], slope, start)
    correlation = np.corrcoef(age, error[rows])[0, 1] if np.ptp(error[rows]) > 0 else 0.0
    figure, ((axis,),) = charts.sheet()
    some = np.random.default_rng(0).permutation(len(rows))[:_MOST_POINTS]
    shift = np.random.default_rng(1).uniform(-0.4, 0.4, len(some))
    axis.scatter(age[some] + shift, error[rows][some], s=7, alpha=0.4, lw=0, color=charts.MAIN)
    ends = np.array([age.min(), age.max()])
    axis.axhline(0, color=charts.INK, lw=1)
    axis.plot(ends, start + slope * ends, color=charts.ACCENT, lw=2, ls="--")
    axis.set(xlabel="labelled age, years", ylabel=what)
    axis.set_title(f"slope {slope:+.2f} ± {half:.2f} years per year, r = {correlation:+.2f}")
    axis.grid(True)
    zero = -start / slope if slope else float("nan")
    caption = "Regression of the error on age (dashed)"
    if slope < 0 and ends[0] < zero < ends[1]:
        caption += f": below about {zero:.0f} years ages are overestimated, above underestimated"
    return figure, caption + "."


def _slope_error(age: Float64, error: Float64, slope: float, start: float) -> float:
    """Return half of the slope's 95 % interval, for errors whose spread changes with age.

    Reference: White, "A heteroskedasticity-consistent covariance matrix estimator and a
    direct test for heteroskedasticity", Econometrica 1980.
    """
    apart = age - age.mean()
    left = error - start - slope * age
    return float(1.96 * np.sqrt((apart**2 * left**2).sum()) / (apart**2).sum())


@charts.drawn
def violins(result: Result, kind: str, what: str) -> tuple[Any, str] | None:
    """Draw the errors of each group of a kind."""
    error = signed_years(result.examples.chips, result.estimates)
    groups = [group for group in result.groups if group.kind == kind]
    values = [error[group.rows & ~np.isnan(error)] for group in groups]
    kept = [(g.name, v) for g, v in zip(groups, values, strict=True)
            if len(v) >= _FEWEST and np.ptp(v) > 0]  # fmt: skip
    if len(kept) < 2:
        return None
    figure, ((axis,),) = charts.sheet()
    _violin(axis, [v for _, v in kept], list(range(len(kept))), 0.8)
    axis.axhline(0, color=charts.INK, lw=1)
    names = [f"{name}\n{len(v)}" for name, v in kept]
    axis.set_xticks(range(len(kept)), names, fontsize=9)
    limit = max(10.0, max(float(np.quantile(np.abs(v), 0.99)) for _, v in kept))
    axis.set(ylabel=what, ylim=(-limit, limit))
    if kind == "age":
        axis.set_xlabel("labelled age, years; number of faces")
    axis.grid(True, axis="y")
    by = {"age": "age group", "found": "detector"}.get(kind, kind)
    return figure, f"The error by {by}; the lines are medians."
