"""The run's figures: as JSON for the page, and as metrics for Prometheus.

`people.crowd.Crowd` decides what may be reported of people.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from outputs.keeping import Storage
from people.correction import Counts
from people.correction import as_json as counts_json
from people.crowd import Crowd
from people.summary import Summary
from people.visits import Visit
from people.wording import as_json, top_ethnicity
from people.zones import Line
from structures import SourceState
from web.board import Board, Posted

SILENT_S = 10.0  # a frame loop that posts nothing for so long is stuck, or paused


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not change during a run.

    Attributes:
        title: of the page; holds no secrets.
        crowd: counts the people.
        webrtc: whether it is available.
        began_s: when the run began, seconds since 1970.
        estimates: returns the estimates made and saved so far; None = not reported.
        storage: returns what the files of the run take; None = not reported.
    """

    title: str
    crowd: Crowd
    webrtc: bool
    began_s: float
    estimates: Callable[[], tuple[int, int]] | None = None
    storage: Callable[[], Storage] | None = None


# For the page


def page_state(board: Board, facts: Facts) -> dict[str, Any]:
    """Return everything that the page shows, ready for `json.dumps`."""
    posted, summary = board.everything()
    return {
        "title": facts.title,
        "anonymous": facts.crowd.anonymous,
        "attributes": list(facts.crowd.attributes),
        "webrtc": facts.webrtc,
        "began_s": facts.began_s,
        "now_s": time.time() if board.over_s is None else board.over_s,
        "problem": problem(board, posted),
        "cameras": [_camera(one, summary, facts.crowd) for one in posted.values()],
        "people_now": summary.now_total,
        "people_now_known": bool(summary.now),
        "people_today": summary.today,
        "genders": list(dict.fromkeys(gender for gender, _ in summary.groups)),
        "bands": list(dict.fromkeys(band for _, band in summary.groups)),
        "groups": [
            {"gender": gender, "band": band, "people": number}
            for (gender, band), number in summary.groups.items()
        ],
        "corrected": counts_json(summary.groups_corrected),
        "attention": summary.audience.as_json() if summary.audience else None,
        "hours": summary.hours,
        "days": summary.days,
        "timelines": {"recent": summary.recent, "day": summary.day},
        "people": [
            _row(visit, summary, facts.crowd)
            | {"face": board.faces.turn(visit.camera, visit.track_id)}
            for visit in summary.newest
        ],
    }


def is_over(posted: Mapping[str, Posted]) -> bool:
    """Whether all sources have ended."""
    states = {one.result.status.state for one in posted.values()}
    return states == {SourceState.ENDED}


def problem(board: Board, posted: Mapping[str, Posted]) -> str:
    """Say in one line why no new images come; empty while all is well."""
    silence_s = board.silence_s
    if not posted or silence_s is None:
        return "no frame has come yet"
    if silence_s > SILENT_S:
        return f"nothing was processed for {silence_s:.0f} s: paused, or stuck"
    words = []
    for camera, one in posted.items():
        status = one.result.status
        if status.state not in (SourceState.LIVE, SourceState.ENDED):
            why = f"{status.state}: {status.detail}" if status.detail else str(status.state)
            words.append(f"{camera}: {why}" if camera else why)
    return "; ".join(words)


def _camera(posted: Posted, summary: Summary, crowd: Crowd) -> dict[str, Any]:
    result = posted.result
    age_ms = result.latency_ms(time.monotonic())
    return {
        "name": result.camera,
        "state": str(result.status.state),
        "detail": result.status.detail,
        "reconnects": result.status.reconnects,
        "load": result.load,
        "fps": round(result.fps, 1),
        "frame_age_ms": None if age_ms is None else round(age_ms),
        "time_s": round(result.frame.time_s, 1) if math.isfinite(result.frame.time_s) else None,
        "dropped": result.dropped,
        "size_wh": result.frame.size_wh,
        "people_now": summary.now.get(result.camera),
        "age_error_years": summary.errors_years.get(result.camera),
        "shapes": [
            {
                "kind": "line" if isinstance(shape, Line) else "zone",
                "name": shape.name,
                "points": shape.points,
            }
            for shape in crowd.layout(result.camera).shapes
        ],
        **summary.places.get(result.camera, {}),
    }


def _row(visit: Visit, summary: Summary, crowd: Crowd) -> dict[str, Any]:
    person = visit.person
    values = as_json(person, crowd.attributes)
    if "ethnicity" in values and person and person.ethnicity_probs is not None:
        values["ethnicity"], _ = top_ethnicity(person.ethnicity_probs)
    return {
        "camera": visit.camera,
        "id": visit.track_id,
        "first_s": round(visit.first_utc_s, 1),
        "last_s": round(visit.last_utc_s, 1),
        "here": not visit.over and visit.camera in summary.now,
        **{name: value for name, value in values.items() if value is not None},
        **_looked(visit, crowd),
    }


def _looked(visit: Visit, crowd: Crowd) -> dict[str, Any]:
    seconds = visit.attention.attention_s
    return {} if seconds is None or not crowd.attention else {"attention_s": round(seconds, 1)}


# For Prometheus

_SourceMetric = tuple[
    Callable[[str, str], Metric], str, str, Callable[[Posted], float | None]
]  # kind, name (counters get "_total"), help, and how to read it

_SOURCE_METRICS: tuple[_SourceMetric, ...] = (
    (
        CounterMetricFamily, "faces_source_reconnects", "Times that the source was opened again.",
        lambda posted: posted.result.status.reconnects,
    ),
    (
        CounterMetricFamily, "faces_frames_processed", "Frames processed.",
        lambda posted: posted.frames,
    ),
    (
        CounterMetricFamily, "faces_frames_dropped", "Frames of a live source never processed.",
        lambda posted: posted.result.dropped,
    ),
    (
        GaugeMetricFamily, "faces_frames_per_second", "Frames processed a second, running mean.",
        lambda posted: posted.result.fps,
    ),
    (
        GaugeMetricFamily, "faces_frame_age_seconds", "Age of the newest frame of a live source.",
        lambda posted: _seconds(posted.result.latency_ms(time.monotonic())),
    ),
    (
        GaugeMetricFamily, "faces_load_reduced",
        "1 while something is done less often to keep up.",
        lambda posted: bool(posted.result.load),
    ),
)  # fmt: skip


class RunCollector:
    """Collects the metrics of this run for prometheus_client, which formats them."""

    def __init__(self, board: Board, facts: Facts) -> None:
        self._board, self._facts = board, facts

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format, version 0.0.4."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Yield each metric; called by prometheus_client."""
        posted, summary = self._board.everything()
        states = (
            ({"camera": name, "state": str(state)}, one.result.status.state is state)
            for name, one in posted.items()
            for state in SourceState
        )
        what = "1 for the state that the source is in."
        yield _filled(GaugeMetricFamily("faces_source_state", what), states)
        for kind, name, what, read in _SOURCE_METRICS:
            values = (({"camera": camera}, read(one)) for camera, one in posted.items())
            yield _filled(kind(name, what), values)
        yield from self._people(summary)
        if self._facts.storage is not None:
            yield from _files(self._facts.storage(), self._facts.crowd.anonymous)
        what = "Clients that watch pictures."
        yield _filled(GaugeMetricFamily("faces_viewers", what), [({}, self._board.viewers)])
        # Left out where anonymous: they grow with every face in view.
        if self._facts.estimates is not None and not self._facts.crowd.anonymous:
            made, saved = self._facts.estimates()
            what = "Faces put through the model."
            yield _filled(CounterMetricFamily("faces_estimates_made", what), [({}, made)])
            what = "Faces that needed no estimate because the person's values have settled."
            yield _filled(CounterMetricFamily("faces_estimates_saved", what), [({}, saved)])

    def _people(self, summary: Summary) -> Iterator[Metric]:
        now = (({"camera": camera}, number) for camera, number in summary.now.items())
        yield _filled(GaugeMetricFamily("faces_people_now", "People in view."), now)
        what = "People seen since the run began."
        yield _filled(CounterMetricFamily("faces_people_seen", what), [({}, summary.seen)])
        left = (
            ({k: v for k, v in (("gender", gender), ("age_band", band)) if v}, number)
            for (gender, band), number in summary.left.items()
        )
        what = "People who have left the view, by apparent age and perceived gender."
        yield _filled(CounterMetricFamily("faces_people", what), left)
        what = "People who have left the view, with and without an estimate."
        yield _filled(CounterMetricFamily("faces_people_left", what), [({}, summary.gone)])
        what = "How long those who left had been in view, all together."
        yield _filled(CounterMetricFamily("faces_stay_seconds", what), [({}, summary.stays_s)])
        what = "How far off told ages are likely to be on average, from the last hour's people."
        errors = (({"camera": camera}, years) for camera, years in summary.errors_years.items())
        yield _filled(GaugeMetricFamily("faces_age_error_years", what), errors)
        yield from _passages(summary.places_run)
        if summary.left_corrected is not None:
            yield _corrected(summary.left_corrected)
        if summary.audience is not None:
            yield from _attention(summary)


def _attention(summary: Summary) -> Iterator[Metric]:
    """Yield who looked this way, since the run began."""
    for name, what, read in (
        ("opportunities", "People who left of whom it is known where they looked.", "people"),
        ("watchers", "Of these, who looked this way at all.", "watchers"),
        ("attention_seconds", "How long these looked this way, all together.", "attention_s"),
    ):
        values = ((camera, getattr(each, read)) for camera, each in summary.audiences.items())
        known = (({"camera": camera}, n) for camera, n in values if math.isfinite(n))
        yield _filled(CounterMetricFamily(f"faces_{name}", what), known)


_PASSAGES = (  # what, kind, metric, help, and whether of lines
    ("in", CounterMetricFamily, "faces_line_in", "Crossings of a line, inwards.", True),
    ("out", CounterMetricFamily, "faces_line_out", "Crossings of a line, outwards.", True),
    ("now", GaugeMetricFamily, "faces_zone_people_now", "People in a zone.", False),
    ("entered", CounterMetricFamily, "faces_zone_entered", "People who entered a zone.", False),
)


def _passages(places: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    """Yield the counts of lines and zones, and those by group of people who have left."""
    for what, kind, name, text, of_lines in _PASSAGES:
        own, shape = ("lines", "line") if of_lines else ("zones", "zone")
        told = [
            ({"camera": camera, shape: called}, numbers)
            for camera, found in places.items()
            for called, numbers in found.get(own, {}).items()
        ]
        yield _filled(kind(name, text), ((labels, each[what]) for labels, each in told))
        if what != "now":
            groups = (
                (labels | _labels(group), group[what])
                for labels, each in told
                for group in each["groups"]
            )
            who = " People who have left, by apparent age and perceived gender."
            yield _filled(kind(f"{name}_by_group", text + who), groups)
    what = "Mean time in a zone of those who left it."
    stays = (
        ({"camera": camera, "zone": called}, numbers["dwell_s"])
        for camera, found in places.items()
        for called, numbers in found.get("zones", {}).items()
    )
    yield _filled(GaugeMetricFamily("faces_zone_dwell_seconds", what), stays)


def _labels(group: Mapping[str, Any]) -> dict[str, str]:
    names = (("gender", "gender"), ("age_band", "age"))
    return {label: group[name] for label, name in names if name in group}


def _corrected(counts: Counts) -> Metric:
    """By gender and by age band, not by both: intervals do not add up."""
    what = "faces_people_total corrected by the network's errors: estimate, low, high (95 %)."
    metric = GaugeMetricFamily("faces_people_corrected", what)
    for key, count in counts.items():
        labels = {k: v for k, v in zip(("gender", "age_band"), key, strict=True) if v}
        bounds = {"estimate": count.people, "low": count.low, "high": count.high}
        if len(labels) == 1:
            _filled(metric, (({**labels, "bound": k}, number) for k, number in bounds.items()))
    return metric


def _files(storage: Storage, anonymous: bool) -> Iterator[Metric]:
    """Yield what files take; where anonymous in whole GB only, as films grow with what moves."""
    step = 10**9 if anonymous else 1
    metrics: tuple[tuple[Metric, Mapping[str, float]], ...] = (
        (
            GaugeMetricFamily("faces_output_bytes", "Size of an output's files, earlier ones too."),
            _down_to(storage.bytes, step),
        ),
        (
            GaugeMetricFamily("faces_output_free_bytes", "Bytes left on the disk of an output."),
            _down_to(storage.free, step),
        ),
        (
            CounterMetricFamily(
                "faces_output_records_left_out", "Records not written because there was no room."
            ),
            storage.left_out,
        ),
        (
            GaugeMetricFamily("faces_output_failed", "1 once a file could not be written."),
            storage.failed,
        ),
    )
    for metric, values in metrics:
        yield _filled(metric, (({"output": kind}, value) for kind, value in values.items()))


def _down_to(values: Mapping[str, float], step: int) -> dict[str, float]:
    return {name: value // step * step for name, value in values.items()}


def _filled(metric: Metric, samples: Iterable[tuple[dict[str, str], float | None]]) -> Metric:
    """Add the samples whose value is known."""
    name = metric.name + "_total" * (metric.type == "counter")
    for labels, value in samples:
        if value is not None:
            metric.add_sample(name, labels, value)
    return metric


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1e3
