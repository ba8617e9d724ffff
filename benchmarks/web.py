"""How old an image is when a browser has it, and the effect of stuck clients on that.

    python -m benchmarks.web [--seconds S] [--stuck N] [--size 1280x720]

A loop passes 25 images per second to the page's server, each with its time in black and white
blocks. A client in its own process reads the MJPEG stream, decodes each image and compares; first
alone, then next to `--stuck` clients that connect and never read. The time for detecting and
drawing before comes on top (`benchmarks.latency`).
"""

import argparse
import json
import socket
import subprocess
import time
import urllib.request
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import cv2
import numpy as np

from benchmarks.common import BenchmarkError, command, flag, python, row, table
from benchmarks.latency import BITS, frame_age_s
from people.crowd import Crowd
from people.records import Recorder
from program.options import number
from structures import Frame, FrameResult, Image
from web.view import WebView

FPS = 25
_BLOCK_ROWS = 32


def clock_image(size_wh: tuple[int, int], now_s: float) -> Image:
    """Return a noisy (H, W, 3) uint8 BGR image with a time for `latency.shown_ms`."""
    width, height = size_wh
    image = np.full((height, width, 3), 96, np.uint8)
    cv2.randn(image[_BLOCK_ROWS:], (96, 96, 96), (24, 24, 24))
    now_ms = int(1000 * now_s) & (2**BITS - 1)
    bits = [255 * (now_ms >> (BITS - 1 - i) & 1) for i in range(BITS)]
    image[:_BLOCK_ROWS] = np.repeat(np.array(bits, np.uint8), width // BITS)[None, :width, None]
    return image


def watch(url: str, seconds: float) -> list[float]:
    """Read the MJPEG stream for a while; return the age of each image in ms."""
    ages_ms, end_s = [], time.monotonic() + seconds
    with urllib.request.urlopen(f"{url}stream.mjpeg") as stream:
        while time.monotonic() < end_s:
            length = 0
            while (line := stream.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            if not length:
                continue
            data = np.frombuffer(stream.read(length), np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
            if image is not None:
                ages_ms.append(1e3 * frame_age_s(np.asarray(image, np.uint8), time.monotonic()))
    return ages_ms


def measure(view: WebView, size_wh: tuple[int, int], seconds: float) -> list[float]:
    """Pass images on while a client in another process watches; return its ages in ms."""
    command = python("benchmarks.web", "--watch", view.url, "--seconds", seconds)
    client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    index, due_s = 0, time.monotonic()
    while client.poll() is None:
        now_s = time.monotonic()
        image = clock_image(size_wh, now_s)
        view.write(image, FrameResult(Frame(image, index, now_s, arrived_s=now_s), fps=FPS))
        index, due_s = index + 1, due_s + 1 / FPS
        time.sleep(max(0.0, due_s - time.monotonic()))
    ages_ms: list[float] = json.loads(client.communicate()[0] or "[]")
    return ages_ms


def stuck_client(url: str) -> socket.socket:
    """Return a client that requests the images and never reads one."""
    parts = urlsplit(url)
    client = socket.create_connection((parts.hostname, parts.port or 80))
    request = f"GET /stream.mjpeg HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
    client.sendall(request.encode())
    return client


@command(
    "web",
    __doc__,
    flag("--seconds", type=number(float, 1), default=10.0),
    flag("--stuck", type=number(int, 0), default=4),
    flag("--size", default="1280x720"),
    flag("--watch", help=argparse.SUPPRESS),
)
def main(options: argparse.Namespace) -> None:
    """Print a row for a single client and one for a client among stuck ones."""
    if options.watch:
        print(json.dumps(watch(options.watch, options.seconds)))
        return
    try:
        width, height = map(int, options.size.split("x"))
    except ValueError:
        raise BenchmarkError(f"--size wants WIDTHxHEIGHT, got {options.size}") from None
    with ExitStack() as stack:
        view = stack.enter_context(closing(WebView("0", Recorder(Crowd()))))
        print(table(["clients", "images/s", "age, ms: median", "95 of 100", "worst"]))
        for count in (0, options.stuck):
            for _ in range(count):
                stack.enter_context(stuck_client(view.url))
            ages = measure(view, (width, height), options.seconds)
            if not ages:
                raise BenchmarkError("no image came; is the machine too busy?")
            who = f"1 and {count} stuck" if count else "1"
            quantiles = np.percentile(ages, [50, 95, 100])
            rate = len(ages) / options.seconds
            print(row(who, f"{rate:.1f}", *(f"{age:.0f}" for age in quantiles)))


if __name__ == "__main__":
    raise SystemExit(main())
