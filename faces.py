"""Age and gender of the faces in films, cameras and photographs, as a library.

    import faces

    for result in faces.watch("film.mp4"):
        for person in result.people:
            print(result.time_s, person.id, person.age, person.gender)

`watch` follows people through films and cameras, `describe` takes single images, `Settings` says
what the flags of `stream.py` say. All may be called from any thread. What can go wrong for a user
is an `Error`; a wrong argument is a `ValueError`. See docs/library.md.
"""

from __future__ import annotations  # so that importing this is quick: the rest comes when needed

import contextlib
import functools
import threading
import weakref
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

from errors import ConfigError, SourceError
from errors import StreamError as Error
from version import VERSION as __version__

if TYPE_CHECKING:
    import argparse
    from types import GeneratorType

    from structures import FrameResult, Image, Smoothed

__all__ = [
    "Error", "Person", "Result", "Settings", "Watch", "__version__", "describe", "to_supervision",
    "watch",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the flags of `stream.py` with these names say; `python stream.py --help` has them.

    None is the flag's default. `blur` is True, "pixelate", "blur" or "strict".

    Raises:
        ValueError: a flag would not take this value.
    """

    detector: str | None = None
    min_face: int | None = None
    upsample: int | None = None
    estimator: str | None = None
    weights: str | None = None
    engine: str | None = None
    device: str | None = None
    precision: str | None = None
    threads: int | None = None
    attributes: tuple[str, ...] | None = None
    lawful_purpose: str | None = None
    detect_every: int | None = None
    blur: bool | str = False
    remember: str | None = None
    width: int | None = None
    height: int | None = None
    max_frames: int | None = None
    max_latency: float | None = None
    keep_trying: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.attributes, list):  # a list cannot be the key of what is kept
            object.__setattr__(self, "attributes", tuple(self.attributes))
        if self._changed():
            self.options()

    def _changed(self) -> dict[str, object]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None and value is not False
        }

    def options(self) -> argparse.Namespace:
        """Return the options of a run of `stream.py` with these flags."""
        from program.config import options_of

        try:
            return options_of(self._changed())
        except ConfigError as error:
            raise ValueError(f"Settings: {error}") from None


USUAL = Settings()


@dataclass(frozen=True, slots=True)
class Person:
    """A face in one frame or image, and what is known of the person so far.

    Attributes:
        id: from `watch`: the person's number in this run; from `describe`: from 1 in its image.
        box: left, top, right, bottom in pixels; may extend beyond the image.
        age: apparent age in years; None before the first estimate.
        interval: where the age is in about two of three cases, years; None likewise.
        gender: "female", "male" or "unsure".
        female_prob: 0..1; None likewise.
        ethnicity: a share for each group, None unless `Settings.attributes` asks for it.
        samples: how many estimates all this rests on.
    """

    id: int
    box: tuple[float, float, float, float]
    age: float | None = None
    interval: tuple[float, float] | None = None
    gender: str = "unsure"
    female_prob: float | None = None
    ethnicity: dict[str, float] | None = None
    samples: int = 0

    @classmethod
    def of(
        cls, number: int, box: Any, known: Smoothed | None, attributes: Collection[str]
    ) -> Person:
        """Make one of a box, (4,) xyxy pixels, and what is known, as far as it is asked for."""
        x1, y1, x2, y2 = (float(value) for value in box)
        person = cls(number, (x1, y1, x2, y2))
        if known is None:
            return person
        found: dict[str, Any] = {"samples": known.samples}
        if "age" in attributes:
            age, spread = float(known.age_years), float(known.age_uncertainty_years)
            found |= {"age": age, "interval": (max(0.0, age - spread), age + spread)}
        if "gender" in attributes:
            found |= {"gender": known.gender.value, "female_prob": float(known.female_prob)}
        if "ethnicity" in attributes and known.ethnicity_probs is not None:
            from structures import ETHNICITIES

            shares = map(float, known.ethnicity_probs)
            found["ethnicity"] = dict(zip(ETHNICITIES, shares, strict=True))
        return replace(person, **found)


@dataclass(frozen=True, slots=True)
class Result:
    """One frame and the people in it.

    Attributes:
        people: those who are followed, by id.
        index: number of the frame in its source, from 0; a gap means dropped frames.
        time_s: seconds since the source began.
        camera: the source's name, where there are several or it was given one; else "".
    """

    people: tuple[Person, ...]
    index: int
    time_s: float
    camera: str
    _frame: FrameResult = field(repr=False)
    _attributes: tuple[str, ...] = field(repr=False)

    @property
    def picture(self) -> Image:
        """The frame, (H, W, 3) uint8 BGR, read-only; faces are hidden where `blur` is set."""
        return self._frame.frame.image

    def drawn(self) -> Image:
        """Return a copy of the frame, (H, W, 3) uint8 BGR, with boxes and labels."""
        from drawing.overlay import Overlay

        return Overlay(status=False, attributes=self._attributes).draw(self._frame)

    def to_supervision(self) -> Any:
        """Return the people as `supervision.Detections`; see `to_supervision`."""
        return to_supervision(self.people)


class Watch:
    """Iterates over the results of films and cameras. Made by `watch`.

    Several threads may share one; each result goes to one of them. It is closed at its end, by
    `close`, by `with`, or when nothing refers to it any more.
    """

    def __init__(self, sources: Sequence[str], settings: Settings) -> None:
        from program.assemble import open_loop

        options = settings.options()
        self._attributes = options.attributes
        self._stop, self._lock = _Stop(), threading.RLock()
        with contextlib.ExitStack() as stack:
            loop = open_loop(sources, options, [self._stop], stack)
            self._results = cast("GeneratorType[FrameResult, None, None]", loop.run())
            self._release = weakref.finalize(self, stack.pop_all().close)

    def __iter__(self) -> Iterator[Result]:
        return self

    def __next__(self) -> Result:
        """Return the next result; raises an `Error` where a source is lost."""
        with self._lock:
            try:
                result = next(self._results)
            except BaseException:  # StopIteration too
                self._release()
                raise
        people = tuple(
            Person.of(
                track.track_id, track.box, result.people.get(track.track_id), self._attributes
            )
            for track in result.tracks
        )
        frame = result.frame
        return Result(people, frame.index, frame.time_s, result.camera, result, self._attributes)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, from any thread; sources are released.

        A signal's handler may interrupt the thread that waits for a result: there this returns at
        once, and the iteration ends by itself.
        """
        self._stop.closed = True
        with self._lock:
            if not self._results.gi_running:
                self._results.close()
                self._release()


class _Stop:
    """A sink that ends the loop. See `outputs.Sink`."""

    wants_picture = False

    def __init__(self) -> None:
        self.closed = False

    def write(self, _picture: Image | None, _result: FrameResult) -> None:
        """Ignore a result."""

    refresh = write

    def close(self) -> None:
        """End the loop."""
        self.closed = True


def watch(*sources: str | int | Path, settings: Settings = USUAL) -> Watch:
    """Follow the people in films and cameras; yields a `Result` for each frame.

    Of films every frame comes once; of cameras the newest, as fast as it is asked for.

    Args:
        sources: what `--src` takes: a path, a webcam's number, an address, `sample`; with a name
            as in `door=rtsp://...`. Several are followed together.
        settings: how.

    Raises:
        Error: there is no source, or one cannot be opened; weights or engine are missing.
    """
    if not sources:
        raise SourceError(
            "watch() has no source; give a film's path, a webcam's number or an address"
        )
    texts = [str(each.absolute()) if isinstance(each, Path) else str(each) for each in sources]
    return Watch(texts, settings)


@overload
def describe(image: str | Path | Image, settings: Settings = USUAL) -> list[Person]: ...  # type: ignore[overload-overlap]  # a str is a sequence of str, too


@overload
def describe(
    image: Sequence[Image | str | Path], settings: Settings = USUAL
) -> list[list[Person]]: ...


def describe(
    image: Image | str | Path | Sequence[Image | str | Path], settings: Settings = USUAL
) -> list[Person] | list[list[Person]]:
    """Describe the faces of single images, best found first.

    Args:
        image: (H, W, 3) uint8 BGR, or a path; or a list of these, whose faces go through the
            network in one batch.
        settings: what finds and describes them.

    Returns:
        The faces, for a list of images a list for each.

    Raises:
        Error: a file cannot be read, or weights or engine are missing.
        ValueError: an array is no image.
    """
    import numpy as np

    if isinstance(image, str | Path | np.ndarray):
        return _describe_all([image], settings)[0]
    return _describe_all(list(image), settings)


_describing = threading.Lock()


def _describe_all(images: list[Image | str | Path], settings: Settings) -> list[list[Person]]:
    from program.photographs import describe_images, described

    loaded = [_image(each) for each in images]
    if not loaded:
        return []
    with _describing:
        detector, estimator, attributes = _networks(settings)
        found = list(describe_images(loaded, detector, estimator))
    return [
        [
            Person.of(number, box, known, attributes)
            for number, (box, known) in enumerate(
                zip(detections.boxes, described(estimates), strict=True), 1
            )
        ]
        for detections, estimates in found
    ]


@functools.lru_cache(maxsize=2)
def _networks(settings: Settings) -> tuple[Any, Any, tuple[str, ...]]:
    """Detector, estimator and attributes to report for `describe`; they stay loaded."""
    from program.assemble import Assembly
    from program.options import ModelOptions, collect

    models = collect(ModelOptions, settings.options())
    assembly = Assembly(models)
    return assembly.detector(models.threads), assembly.estimator(), models.attributes


def _image(image: Image | str | Path) -> Image:
    """Load an image, or check one: (H, W, 3) uint8 BGR."""
    if isinstance(image, str | Path):
        from sources.photographs import load_picture

        return load_picture(Path(image), str(image))
    import numpy as np

    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3:
        what = f"{image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image)
        raise ValueError(f"image: want (H, W, 3) uint8 BGR or a path, got {what}")
    if image.shape[2] != 3 or not image.size:
        raise ValueError(f"image: want (H, W, 3) uint8 BGR, got {image.shape}")
    return np.ascontiguousarray(image)


def to_supervision(people: Sequence[Person]) -> Any:
    """Return people as `supervision.Detections`, all of class 0, with their ids as `tracker_id`.

    `data` has age, age_low, age_high and female_prob, float32, NaN where unknown; and gender, as
    text. Needs the package supervision.
    """
    import numpy as np
    import supervision

    def column(values: Sequence[float | None]) -> Any:
        return np.array([np.nan if value is None else value for value in values], np.float32)

    return supervision.Detections(
        xyxy=np.array([person.box for person in people], np.float32).reshape(-1, 4),
        tracker_id=np.array([person.id for person in people], np.int64),
        class_id=np.zeros(len(people), np.int64),  # its annotators want one
        data={
            "class_name": np.full(len(people), "face"),
            "age": column([person.age for person in people]),
            "age_low": column([p.interval[0] if p.interval else None for p in people]),
            "age_high": column([p.interval[1] if p.interval else None for p in people]),
            "female_prob": column([person.female_prob for person in people]),
            "gender": np.array([person.gender for person in people], "<U6"),
        },
    )
