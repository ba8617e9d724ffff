"""The run's figures in Prometheus' text format, version 0.0.4."""

import time
from collections.abc import Callable, Iterable, Mapping

from structures import SourceState
from web.board import Board, Posted
from web.state import Facts, concealed, grouped

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Sample = tuple[dict[str, str], float | None]


def family(name: str, kind: str, told: str, samples: Iterable[Sample]) -> list[str]:
    """Return the lines of one metric; samples whose value is None are left out."""
    lines = [f"# HELP {name} {told}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        if value is not None:
            inside = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
            number = str(value) if isinstance(value, int) else f"{value:.6g}"
            lines.append(f"{name}{{{inside}}} {number}" if inside else f"{name} {number}")
    return lines


def metrics_text(
    board: Board, facts: Facts, estimates: Callable[[], tuple[int, int]] | None = None
) -> str:
    """Return all metrics.

    Args:
        board: the newest of everything.
        facts: rule what of the people is told; small groups are left out where anonymous.
        estimates: gives the estimates made and saved so far; None = not told.
    """
    posted, summary = board.everything()
    tell = concealed if facts.anonymous else int
    people = {
        tuple(zip(("gender", "age_band"), group, strict=True)): tell(number)
        for group, number in grouped(summary.left, facts.attributes).items()
    }
    lines = [
        *_camera_lines(posted),
        *family(
            "faces_people_now", "gauge", "People in view.",
            [({"camera": name}, tell(number)) for name, number in summary.now.items()],
        ),
        *family(
            "faces_people_seen_total", "counter", "People seen since the run began.",
            [({}, tell(summary.seen))],
        ),
        *family(
            "faces_people_total", "counter",
            "People who have left the view, by apparent age and perceived gender.",
            [({key: text for key, text in group if text}, n) for group, n in people.items()],
        ),
        *family("faces_viewers", "gauge", "Clients that watch pictures.", [({}, board.viewers)]),
    ]  # fmt: skip
    if estimates is not None:
        made, saved = estimates()
        lines += family(
            "faces_estimates_made_total", "counter", "Faces put through the model.", [({}, made)]
        )
        lines += family(
            "faces_estimates_saved_total", "counter",
            "Faces that needed no estimate because the person's values have settled.",
            [({}, saved)],
        )  # fmt: skip
    return "\n".join(lines) + "\n"


def _camera_lines(posted: Mapping[str, Posted]) -> list[str]:
    """Return what is told of each source."""

    def each(value: Callable[[Posted], float | None]) -> list[Sample]:
        return [({"camera": name}, value(one)) for name, one in posted.items()]

    def age_s(one: Posted) -> float | None:
        age_ms = one.result.latency_ms(time.monotonic())
        return None if age_ms is None else age_ms / 1e3

    states = [
        ({"camera": name, "state": str(state)}, int(one.result.status.state is state))
        for name, one in posted.items()
        for state in SourceState
    ]
    return [
        *family("faces_source_state", "gauge", "1 for the state that the source is in.", states),
        *family(
            "faces_source_reconnects_total", "counter", "Times that the source was opened again.",
            each(lambda one: one.result.status.reconnects),
        ),
        *family(
            "faces_frames_processed_total", "counter", "Frames processed.",
            each(lambda one: one.frames),
        ),
        *family(
            "faces_frames_dropped_total", "counter", "Frames of a live source never processed.",
            each(lambda one: one.result.dropped),
        ),
        *family(
            "faces_frames_per_second", "gauge", "Frames processed a second, running mean.",
            each(lambda one: float(one.result.fps)),
        ),
        *family(
            "faces_frame_age_seconds", "gauge", "Age of the newest frame of a live source.",
            each(age_s),
        ),
        *family(
            "faces_load_reduced", "gauge", "1 while something is done less often to keep up.",
            each(lambda one: int(bool(one.result.load))),
        ),
    ]  # fmt: skip
