"""The trackers of the package `trackers`: they play detections from a file.

    python -m benchmarks.alternatives.followers NAME FILE.json

It runs in the environment `trackers` (`setup`), so nothing of the project is imported here. The
file lists clips, `{"fps": 25.0, "frames": [[boxes, scores], ...]}`, boxes xyxy in pixels. The
answer on standard output lists for each `{"frames": [[ids, boxes], ...], "seconds": s}`: what the
tracker shows, and the processor time of its updates. A tracker of this package shows only boxes
that were found in the frame.

All have the package's own settings, but for SORT, which has those of its paper: a track ends with
its second miss in a row.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import supervision as sv
import trackers
from trackers.utils.state_representations import XCYCSRStateEstimator

TRACKERS: dict[str, Callable[[float], Any]] = {
    "SORT": lambda fps: trackers.SORTTracker(
        lost_track_buffer=1, state_estimator_class=XCYCSRStateEstimator
    ),
    "ByteTrack": lambda fps: trackers.ByteTrackTracker(frame_rate=fps),
    "OC-SORT": lambda fps: trackers.OCSORTTracker(frame_rate=fps),
    "C-BIoU": lambda fps: trackers.CBIoUTracker(frame_rate=fps),
}


def follow(tracker: Any, frames: Sequence[Any]) -> dict[str, Any]:
    """Play the frames of one clip."""
    found = [
        sv.Detections(
            np.array(boxes, np.float32).reshape(-1, 4),
            confidence=np.array(scores, np.float32),
            class_id=np.zeros(len(scores), int),
        )
        for boxes, scores in frames
    ]
    start_s = time.process_time()
    answers = [tracker.update(detections) for detections in found]
    seconds = time.process_time() - start_s
    shown = []
    for answer in answers:
        rows = np.flatnonzero(answer.tracker_id >= 0)
        shown.append([answer.tracker_id[rows].tolist(), answer.xyxy[rows].tolist()])
    return {"frames": shown, "seconds": seconds}


def main() -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alternatives.followers")
    parser.add_argument("name", choices=TRACKERS)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    clips = json.loads(options.file.read_text())
    make = TRACKERS[options.name]
    print(json.dumps([follow(make(clip["fps"]), clip["frames"]) for clip in clips]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
