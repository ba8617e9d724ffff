"""Chapters of a recording: one for each scene, that is, each epoch of its frames."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.container import OutputContainer

if TYPE_CHECKING:
    from av.container.core import Chapter


def set_chapters(file: OutputContainer, starts: Sequence[int], end: int, tick: Fraction) -> None:
    """Make a chapter of each scene that begins at one of `starts`; times in ticks of seconds.

    To be called before `file` is closed; one scene alone is no chapter.
    """
    chapters: list[Chapter] = [
        {
            "id": number,
            "start": start,
            "end": max(stop, start),
            "time_base": tick,
            "metadata": {"title": f"scene {number}"},
        }
        for number, (start, stop) in enumerate(pairwise([*starts, end]), start=1)
    ]
    if len(chapters) > 1:
        file.set_chapters(chapters)


def scenes_of(paths: Sequence[Path], tick: Fraction) -> list[int]:
    """Where the scenes of consecutive recordings of one film begin, in ticks."""
    starts = [0]
    for path in paths:
        with av.open(str(path)) as file:  # its first scene goes on from the file before
            for chapter in file.chapters()[1:]:
                starts.append(round(chapter["start"] * (chapter["time_base"] or tick) / tick))
    return starts
