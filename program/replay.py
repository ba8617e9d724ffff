"""Record once, look again: `--events-full` keeps what the networks said, `--replay` asks that.

`sources.raw_values` has the file's form. Here are its first record, which says of which film and
with which settings it was made, and what must be the same when it is replayed.
"""

import argparse
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NoReturn

from detectors import Detector
from drawing.hiding import STRICT
from errors import SourceError
from estimators.weights import GROUPS, Confusion, find_weights
from outputs.full_events import FullEventsWriter
from program.assemble import Assembly
from program.cameras import Camera, address_of
from program.loop import Channel
from program.options import ModelOptions, TrackingOptions, collect, flag
from sources import Source
from sources.open import files_of
from sources.raw_values import SCHEMA, RawReader, Record, ReplayedFilm, as_floats
from structures import Detections, Estimates, Float32, Image
from version import VERSION

log = logging.getLogger(__name__)

_PART = 2**16  # bytes
# What the networks said depends on these; the others may differ when it is replayed.
_FIXED = (
    "detector", "min_face", "upsample", "estimator", "weights", "engine", "device", "precision",
    "detect_every",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Whether the raw values of an earlier run are looked at again."""

    replay: str | None = flag(
        None,
        "take what the networks said of this film from --events-full of an earlier run, and ask "
        "none: other labels, hiding, --max-age, --min-hits and outputs in a fraction of the time",
        metavar="FILE.jsonl",
    )


def fingerprint(path: Path) -> str:
    """A SHA-256 of a file's size, beginning, middle and end: quick for the longest film."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for start in (0, size // 2, max(size - _PART, 0)):
            file.seek(start)
            digest.update(file.read(_PART))
    return digest.hexdigest()


def the_film(cameras: Sequence[Camera], sources: Sequence[Source], option: str) -> Path:
    """The file of the one film that a run is about.

    Raises:
        SourceError: there are several sources, or it is none.
    """
    paths = files_of(address_of(cameras[0].address))
    if len(sources) > 1 or len(paths) != 1 or sources[0].is_live:
        raise SourceError(
            f"{option} is about one film: record a camera with --output FILE.mp4, and give that "
            "file as --src; several films one after the other"
        )
    return paths[0]


def film_record(
    options: argparse.Namespace,
    source: Source,
    run: str,
    detector: Detector,
    confusion: Confusion | None,
) -> Record:
    """The first record of `--events-full`: which film, and what produces the raw values.

    Raises:
        SourceError: it is no film.
        WeightsError: the weights are not known.
    """
    camera: Camera = options.cameras[0]
    path = the_film(options.cameras, [source], "--events-full")
    models, tracking = collect(ModelOptions, options), camera.tracking
    settings = {each.name: getattr(models, each.name) for each in fields(ModelOptions)}
    settings |= {each.name: getattr(tracking, each.name) for each in fields(TrackingOptions)}
    weights = find_weights(models.weights, models.estimator).name
    return {
        "type": "film",
        "schema": SCHEMA,
        "run": run,
        "version": VERSION,
        "film": {
            "name": path.name,
            "size_wh": list(source.size_wh),
            "fps": source.fps,
            "frames": source.frame_count,
            "bytes": path.stat().st_size,
            "fingerprint": fingerprint(path),
        },
        "settings": settings | {"weights": weights, "remember": options.remember},
        "starting_score": detector.starting_score,
        "landmark_template": detector.landmark_template.tolist(),
        "landmark_depths": detector.landmark_depths.tolist(),
        "confusion": confusion,
    }


def open_full_events(
    options: argparse.Namespace, channel: Channel, run: str, confusion: Confusion | None
) -> FullEventsWriter:
    """Open what `--events-full` asks for; `channel` is the only one of the run `run`.

    Raises:
        SourceError: its source is no film.
        SinkError: the file cannot be made.
    """
    first = film_record(options, channel.source, run, channel.pipeline.detector, confusion)
    return FullEventsWriter(options.events_full, first)


class Unasked:
    """Stands in for detector and estimator where every frame carries its raw values."""

    confident_score = 1.0
    input_size = 1

    def __init__(self, first: Record) -> None:
        """Take what they say of themselves from the first record.

        Raises:
            ValueError, KeyError or TypeError: it is not there.
        """
        self.starting_score = float(first["starting_score"])
        self.landmark_template = as_floats(first["landmark_template"], 2)
        self.landmark_depths = as_floats(first["landmark_depths"])
        self.has_ethnicity = "ethnicity" in first["settings"]["attributes"]
        if len(self.landmark_template) != 5 or len(self.landmark_depths) != 5:
            raise ValueError("want five landmarks")

    def detect(self, image: Image, coarse: float = 1.0) -> Detections:
        """See `detectors.Detector`."""
        raise NotImplementedError

    def detect_near(self, image: Image, boxes: Float32) -> Detections:
        """See `detectors.Detector`."""
        raise NotImplementedError

    def estimate(self, chips: Image) -> Estimates:
        """See `estimators.Estimator`."""
        raise NotImplementedError


class Replay:
    """A run from the raw values of an earlier one; must be closed.

    Args:
        options: of this run, settled; what is given there of the networks must be as then.

    Attributes:
        confusion: of the weights of then, to correct counts by; None = not known.

    Raises:
        SourceError: the file is none of `--events-full`, or does not have what is asked for.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._reader = RawReader(Path(options.replay))
        first = self._reader.film
        try:
            names = (*_FIXED, "blur", "remember")
            self._then = {name: first["settings"][name] for name in names}
            self._networks = Unasked(first)
            width, height = first["film"]["size_wh"]
            self._film = f"{first['film']['name']}, {width}x{height}"
            self._fingerprint = first["film"]["fingerprint"]
            self.confusion = _confusion(first["confusion"])
            if not "".join(map(str, (*self._then.values(), self._film))).isprintable():
                raise ValueError("want text that a terminal shows")
        except (KeyError, TypeError, ValueError, OverflowError):
            self._refuse("is damaged in its first line; record it anew")
        self._check(options)

    def _check(self, options: argparse.Namespace) -> None:
        for name in _FIXED:
            given, then = getattr(options, name), self._then[name]
            given = Path(given).stem if name == "weights" and given not in (None, then) else given
            if name in options.asked.given and given != then:
                was = "auto" if then is None else then
                self._refuse(
                    f"was recorded with --{name.replace('_', '-')} {was}, and a replay asks no "
                    "network; leave the flag out, or run again without --replay"
                )
        if "ethnicity" in options.attributes and not self._networks.has_ethnicity:
            self._refuse("holds no ethnicity; record it anew with --attributes, or leave it out")
        wanted, then = options.cameras[0].tracking.blur, self._then["blur"]
        if wanted and (not then or (wanted == STRICT != then)):
            flag = "--blur strict" if wanted == STRICT else "--blur"
            log.warning(
                "%s was recorded without %s: faces that only its searches find stay visible; "
                "record it with %s to hide them too",
                *(self._reader.path, flag, flag),
            )
        if self._then["remember"]:
            log.warning(
                "%s was recorded with --remember; a replay recognises nobody (embeddings are "
                "never written): people who come back count again",
                self._reader.path,
            )

    def assembly(self, usual: Assembly) -> Assembly:
        """The assembly of this run: as usual, but without networks."""

        def make(*_: object, **__: object) -> Unasked:
            return self._networks

        return replace(usual, make_detector=make, make_estimator=make)

    def film(self, cameras: Sequence[Camera], sources: Sequence[Source]) -> Source:
        """Return the run's film, whose frames carry their raw values.

        Raises:
            SourceError: it is another film than then, or none.
        """
        path = the_film(cameras, sources, "--replay")
        if fingerprint(path) != self._fingerprint:
            self._refuse(
                f"was recorded from another film ({self._film}) than "
                f"{sources[0].name}; give that one as --src, or record this one anew"
            )
        return ReplayedFilm(sources[0], self._reader)

    def _refuse(self, problem: str) -> NoReturn:
        self.close()
        raise SourceError(f"{self._reader.path} {problem}")

    def close(self) -> None:
        """Close the file; may be called again."""
        self._reader.close()


def _confusion(rows: Any) -> Confusion | None:
    """Read the table of numbers of faces, which JSON has as lists."""
    if rows is None:
        return None
    table = tuple(tuple(int(number) for number in row) for row in rows)
    if [len(row) for row in table] != [GROUPS] * GROUPS or min(map(min, table)) < 0:
        raise ValueError(f"want {GROUPS} lines of {GROUPS} numbers, got {rows}")
    return table
