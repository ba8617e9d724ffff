"""The recordings of a run: one of everything, or with `--record-on` the clips of each camera."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from errors import ConfigError
from files import check_apart, check_ours, is_taken
from outputs.recording.clips import beside, is_told
from outputs.recording.h264 import is_recording
from outputs.recording.parts import part_path
from outputs.recording.sink import Recording
from people.triggers import Trigger, Watch
from program.cameras import Camera
from sources import Source

if TYPE_CHECKING:
    from program.endpoints import OutputOptions, Reporting


def contradiction(options: "OutputOptions") -> str:
    """What other flags keep `--record-on` from working, with the remedy; empty = nothing."""
    if not options.triggers:
        return ""
    if not options.output:
        return "--record-on is about a recording: add --output FILE.mp4"
    if options.segment:
        return "--record-on makes a file of each event, and --segment of each time; leave one out"
    if options.anonymous:
        return "--record-on tells of single people, which --anonymous forbids; leave one out"
    if any(each.kind == "attention" for each in options.triggers) and not options.attention:
        return "--record-on attention needs to know where heads point: add --attention"
    return ""


def check_places(triggers: Sequence[Trigger], cameras: Sequence[Camera]) -> None:
    """Make sure that some camera has each line and zone that a recording waits for.

    Raises:
        ConfigError: none has it.
    """
    layouts = [camera.source.layout for camera in cameras]
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


def clip_path(output: str, camera: str) -> Path:
    """What the clips of a camera are named after; "" is one alone without a name."""
    path, name = Path(output), re.sub(r"[^\w-]+", "-", camera)
    return path.with_stem(f"{path.stem}-{name}") if camera else path


def open_recordings(
    options: "OutputOptions",
    sources: Sequence[Source],
    paths: Sequence[Path],
    report: "Reporting",
    record: Callable[..., Recording],
    names: Sequence[str],
) -> list[Recording]:
    """Open what records drawn frames; nothing is written yet.

    The parameters are those of `endpoints.open_files`.

    Raises:
        SinkError: a file cannot be made there, or two cameras' clips would have one name.
    """
    if not options.output:
        return []
    live = any(source.is_live for source in sources)
    if not options.triggers:
        audible = len(sources) == 1 and not live and not options.anonymous
        sound_from = paths[0] if audible and paths else None
        return [
            record(
                options.output,
                sources[0].fps,
                live=live,
                preset=options.preset,
                segment_s=options.segment,
                sound_from=sound_from,
                inputs=paths,
            )
        ]
    clips = [clip_path(options.output, name) for name in names]
    check_apart(clips, paths)
    return [
        record(
            path,
            source.fps,
            live=live,
            preset=options.preset,
            inputs=paths,
            watch=Watch(options.triggers, report.recorder(), name),
        )
        for path, source, name in zip(clips, sources, names, strict=True)
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
