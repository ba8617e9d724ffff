"""The results of a comparison: values, a Markdown table, a plot, and a line of history."""

import json
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.agreed_faces import Found
from benchmarks.alternatives.setup import NAMES, requirements
from benchmarks.common import OTHERS, OURS, chart, stage_table, table
from training.result_files import git, packages

_PACKAGES = ("numpy", "opencv-python", "av", "openvino", "dlib-bin", "scipy", "filterpy")
_INK, _SOFT = "#212529", "#5c636a"


@dataclass(slots=True)
class Row:
    """One system on one clip; the lists have one entry per round.

    Attributes:
        name, title, ours: see `systems.System`.
        frames: frames processed.
        fps, cpu_ms, start_s, peak_mb: see `measure.Run`.
        common: against the reference, over the frames that all systems processed.
        whole: the same over all frames that this one processed.
    """

    name: str
    title: str
    ours: bool
    frames: int
    fps: list[float]
    cpu_ms: list[float]
    start_s: list[float]
    peak_mb: list[float]
    common: Found
    whole: Found


@dataclass(slots=True)
class ClipResult:
    """All systems on one clip.

    Attributes:
        clip: its name.
        size_wh: of its frames, pixels.
        rows: in the order of the table.
        stages_ms: stage -> milliseconds per frame; empty if not measured.
    """

    clip: str
    size_wh: tuple[int, int]
    rows: list[Row]
    stages_ms: dict[str, float] = field(default_factory=dict)


def markdown(results: Sequence[ClipResult]) -> str:
    """Return one table per clip, and one of the stages."""
    parts = [_clip_table(result) for result in results]
    if staged := {result.clip: result.stages_ms for result in results if result.stages_ms}:
        parts.append(stage_table(staged))
    return "\n\n".join(parts) + "\n"


def _clip_table(result: ClipResult) -> str:
    width, height = result.size_wh
    common = max(each.common.frames for each in result.rows)
    faces = result.rows[0].common.faces
    header = (
        "",
        "frames",
        "frames/s (min-max)",
        "CPU, ms per frame",
        "memory, MB",
        "first frame, s",
        f"faces found in the first {common}",
        "boxes on no agreed face in these",
        "found in all its frames",
    )
    title = f"**{result.clip}**, {width}x{height}: {faces} faces in the first {common} frames"
    return f"{title}\n\n{table(header, map(_cells, result.rows))}"


def _cells(measured: Row) -> Sequence[object]:
    fps = measured.fps
    return (
        f"**{measured.title}**" if measured.ours else measured.title,
        measured.frames,
        f"{figures(statistics.median(fps))} ({figures(min(fps))}-{figures(max(fps))})",
        figures(statistics.median(measured.cpu_ms)),
        f"{statistics.median(measured.peak_mb):.0f}",
        f"{statistics.median(measured.start_s):.1f}",
        share(measured.common),
        measured.common.extra,
        share(measured.whole),
    )


def figures(value: float) -> str:
    """Return two or three significant figures: 226, 23, 4.2, 0.87."""
    digits = 0 if value >= 10 else 1 if value >= 1 else 2
    return f"{value:.{digits}f}"


def share(found: Found) -> str:
    """Return found out of all in per cent; a dash if there was nothing to find."""
    return f"{100 * found.found / found.faces:.0f} %" if found.faces else "-"


def plot(results: Sequence[ClipResult], path: Path, names: Sequence[str]) -> None:
    """Draw frames per second and faces found, a panel per result, into a .png or .svg file.

    Bars are the rows of these names, or all if none has such a name, in their order.
    """
    rows = [[row for row in result.rows if row.name in names] or result.rows for result in results]
    size_inches = 2.6 + 4.4 * len(results), 1.5 + 0.42 * max(map(len, rows))
    with chart(path, len(results), size_inches) as (figure, axes):
        for axis, result, shown in zip(axes, results, rows, strict=True):
            _panel(axis, result, shown)
        figure.text(
            0.01, 0.015,
            "Bars: median frames per second, whole program without drawing or output; lines: "
            "min and max. In brackets: how many of the faces agreed upon were found.",
            fontsize=8, color=_SOFT,
        )  # fmt: skip
        figure.tight_layout(rect=(0, 0.05, 1, 1), w_pad=2.5)


def _panel(axis: Any, result: ClipResult, rows: Sequence[Row]) -> None:
    places = range(len(rows))
    medians = [statistics.median(row.fps) for row in rows]
    spread = (
        [median - min(row.fps) for median, row in zip(medians, rows, strict=True)],
        [max(row.fps) - median for median, row in zip(medians, rows, strict=True)],
    )
    colours = [OURS if row.ours else OTHERS for row in rows]
    axis.barh(places, medians, 0.66, xerr=spread, color=colours, error_kw={"ecolor": _INK, "lw": 1})
    most = max(max(row.fps) for row in rows)
    for place, median, row in zip(places, medians, rows, strict=True):
        label = f"{figures(median)}  ({share(row.common)})"
        weight = "bold" if row.ours else "normal"
        axis.text(max(row.fps) + 0.02 * most, place, label, va="center", color=_INK, weight=weight)
    axis.set_yticks(places, [row.title for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)  # panels share it, so inverting it twice undoes it
    axis.set_xlim(0, 1.45 * most)
    axis.set_title(
        f"{result.clip}, {result.size_wh[0]}x{result.size_wh[1]}", loc="left", color=_INK, size=11
    )
    axis.set_xlabel("frames per second", color=_SOFT)
    axis.tick_params(length=0, colors=_INK)
    axis.grid(axis="x", color="#e9ecef")
    axis.set_axisbelow(True)
    for side in ("top", "right", "bottom", "left"):
        axis.spines[side].set_visible(side == "left")


def record(
    results: Sequence[ClipResult], options: dict[str, Any], load_before: Sequence[float]
) -> dict[str, Any]:
    """Return everything measured and how it was measured, ready for `json.dumps`."""
    import psutil

    pinned = {name: requirements(name).read_text().splitlines() for name in NAMES}
    return {
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git("rev-parse", "--short", "HEAD") or None,
        "changed": bool(git("status", "--porcelain", "--untracked-files=no")),
        "cpu": cpu_name(),
        "cores": psutil.cpu_count(),
        "load_before": load_before,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": dict.fromkeys(_PACKAGES)
        | packages(_PACKAGES)
        | {name: [x for x in lines if x and x[0] != "#"] for name, lines in pinned.items()},
        "options": options,
        "clips": [asdict(result) for result in results],
    }


def append(path: Path, line: dict[str, Any]) -> None:
    """Add one line of JSON to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, default=str) + "\n")


def from_record(line: dict[str, Any]) -> list[ClipResult]:
    """Return the results of a line of history."""
    found = ("common", "whole")
    return [
        ClipResult(
            clip["clip"],
            tuple(clip["size_wh"]),
            [Row(**(row | {key: Found(*row[key]) for key in found})) for row in clip["rows"]],
            clip["stages_ms"],
        )
        for clip in line["clips"]
    ]


def cpu_name() -> str:
    """Return the processor's name, as the system reports it."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
