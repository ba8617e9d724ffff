"""The window, and the grid in front of it and of recordings."""

from collections.abc import Sequence

from drawing.overlay import Overlay
from errors import SinkError
from outputs import Sink
from outputs.grid import GridSink
from outputs.window import DisplayProbe, Window, first_size
from program.endpoints import OutputOptions, say, title_of
from program.loop import Channel
from sources import Source


def open_window(
    options: OutputOptions,
    sources: Sequence[Source],
    probe: DisplayProbe,
    others: Sequence[Sink],
) -> Window | None:
    """The window, or None where there is no display but something else to do.

    Raises:
        SinkError: there is no display and nothing else to do.
    """
    problem = probe.problem()
    if problem is None:
        pace = len(sources) == 1 and not sources[0].is_live
        folder = None if options.anonymous else options.stills
        return Window(title_of(sources), pace=pace, folder=folder, notify=say)
    if not others:
        raise SinkError(problem)
    say(f"{problem}; going on without a window")
    return None


def on_screen(
    recordings: Sequence[Sink],
    channels: Sequence[Channel],
    overlay: Overlay,
    window: Window | None,
    window_overlay: Overlay,
    apart: bool = False,
) -> list[Sink]:
    """Put a grid in front of the window, and of recordings where there are several channels.

    Not so where recordings are `apart`: each takes the frames of its own camera.

    The window's is drawn in its own size and by an overlay of its own, which its keys change.
    """
    names, sinks = [channel.name for channel in channels], list(recordings)
    if sinks and len(channels) > 1 and not apart:
        sinks = [GridSink(sinks, names, overlay)]
    if window:
        size_wh = channels[0].source.size_wh if len(channels) == 1 else (1280, 720)
        window.view = grid = GridSink([window], names, window_overlay, first_size(size_wh))
        sinks.append(grid)
    return sinks
