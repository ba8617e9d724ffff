"""Plays clips with this program's loop, and with the trackers of another package."""

import contextlib
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.alternatives.setup import interpreter
from benchmarks.common import ROOT, output_of
from benchmarks.tracking_clips import BlankFilm, Clip, KnownFaces, NoEstimates
from benchmarks.tracking_scores import Shown
from drawing.overlay import Overlay
from estimators import Estimator
from program.assemble import Assembly
from program.cameras import Camera
from program.loop import Loop
from program.options import MemoryOptions
from sources import Source
from sources.open import open_source
from structures import Detections, FrameResult, Gender
from tracking import FRAME_S

ENVIRONMENT = "trackers"
OTHERS = ("SORT", "ByteTrack", "OC-SORT", "C-BIoU")  # of `alternatives.followers`
FORGETFUL = MemoryOptions()
NOTHING = Shown(np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, bool))


def play(
    clip: Clip, assembly: Assembly, estimator: Estimator, memory: MemoryOptions = FORGETFUL
) -> list[Shown]:
    """Play a clip with this program; a clip without a film with its own detections.

    `memory` says whether people who come back are recognised, in films.
    """
    recognition = assembly.recognition(memory) if clip.film is not None else None
    if clip.film is not None:
        source: Source = open_source(str(clip.film))
    else:
        source = BlankFilm(clip.size_wh, clip.fps, len(clip.detections))
        known = KnownFaces(clip.detections)
        assembly = replace(
            assembly,
            tracking=replace(assembly.tracking, detect_every=1),
            make_detector=lambda *_, **__: known,
        )
        estimator = NoEstimates()
    seen: dict[int, Shown] = {}
    with contextlib.ExitStack() as stack:
        stack.callback(source.close)
        if recognition:
            stack.callback(recognition.close)
        pool = stack.enter_context(contextlib.closing(assembly.pool()))
        camera = Camera(clip.name, "", tracking=assembly.tracking)
        channels = assembly.channels([camera], [source], estimator, recognition)
        for result in Loop(channels, pool, estimator, (), Overlay()).run():
            seen[result.frame.index] = shown_in(result)
    count = len(clip.people) or max(seen, default=-1) + 1
    return [seen.get(index, NOTHING) for index in range(count)]


def shown_in(result: FrameResult) -> Shown:
    """Return the boxes that a viewer sees, with what their labels tell."""
    tracks = result.tracks
    people = [result.people.get(track.track_id) for track in tracks]
    return Shown(
        np.array([track.track_id for track in tracks], np.int64),
        np.array([track.box for track in tracks], np.float32).reshape(-1, 4),
        np.array([track.detection_index is None for track in tracks], bool),
        tuple("" if p is None or p.gender is Gender.UNSURE else str(p.gender) for p in people),
    )


def play_others(
    name: str, clips: Sequence[tuple[float, Sequence[Detections]]]
) -> list[tuple[list[Shown], float]]:
    """Play clips with one of `OTHERS`, in its own environment.

    Args:
        name: of the tracker.
        clips: frames per second and the detections of every frame.

    Returns:
        What it shows in every frame, and the processor time of its updates, seconds, by clip.

    Raises:
        BenchmarkError: the environment is not made, or it failed.
    """
    asked = [
        {"fps": fps, "frames": [[d.boxes.tolist(), d.scores.tolist()] for d in detections]}
        for fps, detections in clips
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clips.json"
        path.write_text(json.dumps(asked))
        module = "benchmarks.alternatives.followers"
        command = [str(interpreter(ENVIRONMENT)), "-m", module, name, str(path)]
        answers = json.loads(output_of(command, PYTHONPATH=str(ROOT)))
    return [([_boxes(*frame) for frame in each["frames"]], each["seconds"]) for each in answers]


def _boxes(ids: list[int], boxes: list[list[float]]) -> Shown:
    found = np.array(boxes, np.float32).reshape(-1, 4)
    return Shown(np.array(ids, np.int64), found, np.zeros(len(ids), bool))


def seconds_of(detections: Sequence[Detections]) -> float:
    """Return the seconds of processor time that this program's tracker takes for all frames."""
    tracker = Assembly().tracker(KnownFaces(detections))
    start_s = time.process_time()
    for index, found in enumerate(detections):
        tracker.update(found, index * FRAME_S)
    return time.process_time() - start_s
