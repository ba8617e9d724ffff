"""How old a picture is when a browser's client has it, and what stuck clients do to that.

    python -m benchmarks.web [--seconds S] [--stuck N] [--size 1280x720]

A loop hands 25 pictures a second to the page's server, each with the time of its making in
black and white blocks. A client in a process of its own reads the MJPEG stream, decodes
each picture and compares; first alone, then beside `--stuck` clients that connect and never
read. What the program does with a frame before, finding faces and drawing, comes on top
(`benchmarks.latency`).
"""

import argparse
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from urllib.parse import urlsplit

import cv2
import numpy as np

from benchmarks.latency import BITS, shown_ms
from people.crowd import Crowd
from people.records import Recorder
from program.options import number
from structures import Frame, FrameResult, Image
from web.view import WebView

FPS = 25
_BLOCK_ROWS = 32


def clock_picture(size_wh: tuple[int, int], now_s: float) -> Image:
    """A noisy picture, (H, W, 3) uint8 BGR, that shows a time as `latency.shown_ms` reads it."""
    width, height = size_wh
    picture = np.full((height, width, 3), 96, np.uint8)
    cv2.randn(picture[_BLOCK_ROWS:], (96, 96, 96), (24, 24, 24))
    now_ms = int(1000 * now_s) & (2**BITS - 1)
    bits = [255 * (now_ms >> (BITS - 1 - i) & 1) for i in range(BITS)]
    picture[:_BLOCK_ROWS] = np.repeat(np.array(bits, np.uint8), width // BITS)[None, :width, None]
    return picture


def watch(url: str, seconds: float) -> list[float]:
    """Read the MJPEG stream for a while; returns the age of each picture in ms."""
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
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
            if picture is not None:
                now_ms = int(1000 * time.monotonic())
                ages_ms.append(float((now_ms - shown_ms(picture)) & (2**BITS - 1)))
    return ages_ms


def measure(url: str, view: WebView, size_wh: tuple[int, int], seconds: float) -> list[float]:
    """Hand pictures over while a client in another process watches; returns its ages in ms."""
    command = [sys.executable, "-m", "benchmarks.web", "--watch", url, "--seconds", str(seconds)]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    index, due_s = 0, time.monotonic()
    while client.poll() is None:
        now_s = time.monotonic()
        picture = clock_picture(size_wh, now_s)
        view.write(picture, FrameResult(Frame(picture, index, now_s, arrived_s=now_s), fps=FPS))
        index, due_s = index + 1, due_s + 1 / FPS
        time.sleep(max(0.0, due_s - time.monotonic()))
    told = client.communicate()[0]
    ages_ms: list[float] = json.loads(told or "[]")
    return ages_ms


def stuck_client(url: str) -> socket.socket:
    """A client that asks for the pictures and never reads one."""
    parts = urlsplit(url)
    client = socket.create_connection((parts.hostname, parts.port or 80))
    request = f"GET /stream.mjpeg HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
    client.sendall(request.encode())
    return client


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.web", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--seconds", type=number(float, 1), default=10.0)
    parser.add_argument("--stuck", type=number(int, 0), default=4)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--watch", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.watch:
        print(json.dumps(watch(options.watch, options.seconds)))
        return 0
    width, height = map(int, options.size.split("x"))
    view = WebView("0", Recorder(Crowd()))
    clients: list[socket.socket] = []
    try:
        print(
            "| clients | pictures/s | age, ms: median | 95 of 100 | worst |\n|---|---|---|---|---|"
        )
        for count in (0, options.stuck):
            clients += [stuck_client(view.url) for _ in range(count)]
            ages = measure(view.url, view, (width, height), options.seconds)
            if not ages:
                print("web: no picture came; is the machine that busy?", file=sys.stderr)
                return 2
            median, late = np.percentile(ages, [50, 95])
            who = f"1 and {count} stuck" if count else "1"
            rate = len(ages) / options.seconds
            print(f"| {who} | {rate:.1f} | {median:.0f} | {late:.0f} | {max(ages):.0f} |")
    finally:
        for client in clients:
            client.close()
        view.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
