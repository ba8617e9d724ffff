"""Smooths where the heads of the tracks point, over seconds."""

import math
from collections.abc import Mapping

from structures import HeadPose

SMOOTHED_S = 0.2  # time constant: a turn is followed that much later
GAP_S = 1.2  # after so long without a pose a track starts again; then a lost face is forgotten, too


class PoseSmoother:
    """Keeps one pose per track: an exponential mean over time, the same at any frame rate."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[HeadPose, float]] = {}

    def reset(self) -> None:
        """Forget all tracks, as at a cut."""
        self._known = {}

    def update(self, poses: Mapping[int, HeadPose], time_s: float) -> dict[int, HeadPose]:
        """Take in the poses of one frame by track id; returns theirs, smoothed.

        Tracks without one for `GAP_S`, or later than `time_s`, are forgotten.
        """
        self._known = {
            track_id: known
            for track_id, known in self._known.items()
            if 0 <= time_s - known[1] <= GAP_S
        }
        for track_id, pose in poses.items():
            before, then_s = self._known.get(track_id, (pose, time_s))
            share = -math.expm1((then_s - time_s) / SMOOTHED_S)  # of the new pose
            yaw = before.yaw_deg + share * (pose.yaw_deg - before.yaw_deg)
            pitch = before.pitch_deg + share * (pose.pitch_deg - before.pitch_deg)
            self._known[track_id] = HeadPose(yaw, pitch), time_s
        return {track_id: self._known[track_id][0] for track_id in poses}
