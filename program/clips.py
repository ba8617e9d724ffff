"""What `--record-on` needs of the other flags, and opening the clips of each camera."""

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from errors import ConfigError
from files import check_apart, check_ours, is_taken
from outputs.recording.clips import beside, is_told
from outputs.recording.h264 import is_recording
from outputs.recording.parts import part_path
from outputs.recording.sink import Recording
from people.records import Recorder
from people.triggers import Trigger, Watch
from sources import Source


def check_clips(options: argparse.Namespace, triggers: Sequence[Trigger]) -> None:
    """Make sure that the other flags let `--record-on` work.

    Raises:
        ConfigError: one keeps it from working, or no camera has a line or zone that it names.
    """
    if triggers and (text := _contradiction(options, triggers)):
        raise ConfigError(text)
    layouts = [camera.source.layout for camera in options.cameras]
    known = {
        "line": {line.name for layout in layouts for line in layout.lines},
        "zone": {zone.name for layout in layouts for zone in layout.zones},
    }
    for trigger in triggers:
        if trigger.name and trigger.name not in (names := known[trigger.kind]):
            there = f"there are {', '.join(sorted(names))}" if names else "there is none"
            raise ConfigError(
                f"--record-on {trigger}: no camera has this {trigger.kind}, {there}; "
                f"add --{trigger.kind} {trigger.name}=..."
            )


def _contradiction(options: argparse.Namespace, triggers: Sequence[Trigger]) -> str:
    """What keeps it from working, with the remedy; empty = nothing."""
    if not options.output:
        return "--record-on is about a recording: add --output FILE.mp4"
    if options.segment:
        return "--record-on makes a file of each event, and --segment of each time; leave one out"
    if options.anonymous:
        return "--record-on tells of single people, which --anonymous forbids; leave one out"
    if any(each.kind == "attention" for each in triggers) and not options.attention:
        return "--record-on attention needs to know where heads point: add --attention"
    return ""


def clip_path(output: str, camera: str) -> Path:
    """What the clips of a camera are named after; "" is one alone without a name."""
    path, name = Path(output), re.sub(r"[^\w-]+", "-", camera)
    return path.with_stem(f"{path.stem}-{name}") if camera else path


def open_clips(
    output: str,
    triggers: Sequence[Trigger],
    sources: Sequence[Source],
    names: Sequence[str],
    recorder: Callable[[], Recorder],
    record: Callable[..., Recording],
) -> list[Recording]:
    """Open the recording of clips of each source; nothing is written yet.

    Args:
        output: what the user named.
        triggers: what is waited for.
        sources: of the run.
        names: of these, as results have them.
        recorder: makes one of the run.
        record: makes a recording from a path, fps and `watch`.

    Raises:
        SinkError: a file cannot be made there, or two cameras' clips would have one name.
    """
    paths = [clip_path(output, name) for name in names]
    check_apart(paths)
    return [
        record(path, source.fps, watch=Watch(triggers, recorder(), name))
        for path, source, name in zip(paths, sources, names, strict=True)
    ]


def check_first_clips(recordings: Sequence[Recording], say: Callable[[str], None]) -> None:
    """Make sure that the first clips of films replace nothing but those of an earlier run.

    Raises:
        SinkError: one would.
    """
    for recording in recordings:
        path = part_path(recording.path, 1, segments=True)
        for each, is_ours in ((path, is_recording), (beside(path), is_told)):
            if is_taken(each) and check_ours(each, is_ours):
                say(f"{each}: is replaced by the first clip, if there is one")
