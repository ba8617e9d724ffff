"""Results of frames kept in a film's work folder, without their images: a JSON line each.

Numbers come back exactly as they were. The files hold data only: others who may write into
the output folder cannot make a worker run anything.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from errors import SinkError
from files import sink_error, write_whole
from structures import (
    Estimates,
    Float32,
    Frame,
    FrameResult,
    Gender,
    Image,
    Smoothed,
    Track,
    TrackEstimates,
    TrackState,
)

_BLACK: Image = np.zeros((1, 1, 3), np.uint8)


def _black(width: int, height: int) -> Image:
    """A black image of that size, all of it one pixel in memory."""
    return np.broadcast_to(_BLACK, (height, width, 3))


def without_image(result: FrameResult) -> FrameResult:
    """A copy with a black image that takes no room, and nothing that depends on the clock."""
    frame = result.frame
    frame = Frame(_black(*frame.size_wh), frame.index, frame.time_s, frame.epoch)
    return FrameResult(
        frame,
        result.tracks,
        result.people,
        places=result.places,
        estimates=result.estimates,
        remembered=result.remembered,
        unlabelled=result.unlabelled,
    )


def save_results(path: Path, results: Iterable[FrameResult]) -> None:
    """Write a file for `load_results`, whole or not at all; raises SinkError."""
    lines = "".join(json.dumps(_as_json(result)) + "\n" for result in results)
    try:
        write_whole(path, lines.encode())
    except OSError as error:
        raise sink_error(path, error) from error


def load_results(path: Path) -> list[FrameResult]:
    """Read results in their order; images are black and take no room.

    Raises:
        SinkError: it cannot be read, or was not written by `save_results`.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            return [_from_json(json.loads(line)) for line in lines]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = type(error).__name__
        raise SinkError(f"{path} is damaged ({reason}); remove it and rerun") from error


def _as_json(result: FrameResult) -> dict[str, Any]:
    made, frame = result.estimates, result.frame
    kept = made and [list(made.track_ids), _fields(made.estimates), made.weights.tolist()]
    return {
        "frame": [frame.index, frame.time_s, frame.epoch, *frame.size_wh],
        "tracks": [_fields(track) for track in result.tracks],
        "people": {str(i): _fields(person) for i, person in result.people.items()},
        "remembered": sorted(result.remembered),
        "places": result.places.tolist(),
        "unlabelled": result.unlabelled,
        "estimates": kept,
    }


def _fields(value: Any) -> dict[str, Any]:
    """The fields of one of the dataclasses of `structures`, arrays as lists."""
    return {
        name: each.tolist() if isinstance(each := getattr(value, name), np.ndarray) else each
        for name in value.__slots__
    }


def _from_json(line: dict[str, Any]) -> FrameResult:
    index, time_s, epoch, width, height = line["frame"]
    made = line["estimates"]
    return FrameResult(
        Frame(_black(width, height), index, time_s, epoch),
        tuple(_track(**each) for each in line["tracks"]),
        {int(i): _person(**each) for i, each in line["people"].items()},
        places=_floats(line["places"]).reshape(-1, 4),
        estimates=made and TrackEstimates(tuple(made[0]), _estimates(**made[1]), _floats(made[2])),
        remembered=frozenset(line["remembered"]),
        unlabelled=line["unlabelled"],
    )


def _track(box: list[float], state: str, **rest: Any) -> Track:
    return Track(box=_floats(box), state=TrackState(state), **rest)


def _person(gender: str, ethnicity_probs: list[float] | None, **rest: Any) -> Smoothed:
    ethnicity = None if ethnicity_probs is None else _floats(ethnicity_probs)
    return Smoothed(gender=Gender(gender), ethnicity_probs=ethnicity, **rest)


def _estimates(ethnicity_probs: list[Any] | None, **rest: list[Any]) -> Estimates:
    ethnicity = None if ethnicity_probs is None else _floats(ethnicity_probs)
    return Estimates(**{n: _floats(each) for n, each in rest.items()}, ethnicity_probs=ethnicity)


def _floats(values: list[Any]) -> Float32:
    return np.array(values, np.float32)
