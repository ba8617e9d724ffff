"""The sources that stream.py reads, as its flags name them."""

import argparse
import contextlib
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from errors import SourceError
from sources import Source
from sources.live import LiveOptions
from sources.open import open_source

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "sample.mp4"
TRY_SAMPLE = "try the bundled sample: python stream.py --src sample"


def camera_names(sources: Sequence[Source]) -> list[str]:
    """What to call each of several sources; one alone needs no name."""
    if len(sources) == 1:
        return [""]
    seen: Counter[str] = Counter()
    names = []
    for source in sources:
        seen[source.name] += 1
        again = f" ({seen[source.name]})" if seen[source.name] > 1 else ""
        names.append(source.name + again)
    return names


def open_sources(
    options: argparse.Namespace, stack: contextlib.ExitStack, arrived: threading.Event
) -> list[Source]:
    """Open every `--src`; a missing webcam is answered with the bundled sample's name.

    Of several cameras one that is not there must not keep the others from being shown.
    """
    sources = []
    live = LiveOptions(
        keep_trying=options.keep_trying or len(options.src) > 1,
        max_latency_s=options.max_latency / 1e3,
        arrived=arrived,
    )
    size = {"width": options.width, "height": options.height}
    for text in options.src:
        try:
            source = open_source(address_of(text), **size, live=live)
        except SourceError as error:
            if text.isdecimal():
                raise SourceError(f"{error}; {TRY_SAMPLE}") from error
            raise
        stack.callback(source.close)
        if text == "sample":
            source.name = text  # and not its path
        sources.append(source)
    return sources


def address_of(text: str) -> str:
    """What a `--src` stands for."""
    return str(SAMPLE) if text == "sample" else text
