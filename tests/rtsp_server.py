#!/usr/bin/python3
"""A small RTSP camera on 127.0.0.1, run with the Python that sees GStreamer's bindings.

    /usr/bin/python3 tests/rtsp_server.py --port 8554 --film /cam=FILE.h264@25 --clock /clock

A film is raw H.264 with access unit delimiters; it loops without being encoded again, and
its time stamps keep growing. The clock is encoded live and shows the time in its
pictures, see `clock_pictures`. With `--user` and `--password` it asks for them. One line
on standard output says when it is ready.
"""

import argparse
import itertools
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstApp, GstRtsp, GstRtspServer  # noqa: E402, F401

DELIMITER = b"\x00\x00\x00\x01\x09"  # begins each access unit
ROLE = "viewer"
PAY = "rtph264pay name=pay0 pt=96 config-interval=-1"
FILM = "video/x-h264,stream-format=byte-stream,alignment=au"


def film_pictures(path: str) -> Iterator[bytes]:
    """The access units of a raw H.264 file, over and over."""
    with open(path, "rb") as file:  # noqa: PTH123
        _, *units = file.read().split(DELIMITER)
    return itertools.cycle([DELIMITER + unit for unit in units])


def clock_pictures(width: int, height: int) -> Iterator[bytes]:
    """Grey I420 pictures whose 32 upper rows hold `time.monotonic()` in ms.

    It stands there as 32 black and white blocks, the highest bit first.
    """
    block = width // 32
    rest = b"\x60" * (width * (height - 32)) + b"\x80" * (width * height // 2)
    while True:
        now_ms = int(time.monotonic() * 1000) & 0xFFFFFFFF
        bits = (b"\xeb" if now_ms >> (31 - bit) & 1 else b"\x10" for bit in range(32))
        yield b"".join(bit * block for bit in bits).ljust(width, b"\x10") * 32 + rest


class Camera(GstRtspServer.RTSPMediaFactory):  # type: ignore[misc]
    """Serves frames at their rate, to any number of clients."""

    def __init__(
        self, caps: str, encode: str, pictures: Callable[[], Iterator[bytes]], fps: int
    ) -> None:
        super().__init__()
        self.pictures, self.fps = pictures, fps
        self.set_launch(
            f'( appsrc name=src is-live=true format=time caps="{caps}" {encode} ! {PAY} )'
        )
        self.set_shared(True)
        self.set_latency(0)
        self.connect("media-configure", self.configure)

    def configure(self, _factory: Any, media: Any) -> None:
        source = media.get_element().get_by_name("src")
        pictures, began_s = self.pictures(), time.monotonic()
        pushed, is_over = 0, False

        def push() -> bool:
            nonlocal pushed, is_over
            while not is_over and pushed <= (time.monotonic() - began_s) * self.fps:
                buffer = Gst.Buffer.new_wrapped(next(pictures))
                buffer.pts = buffer.dts = pushed * Gst.SECOND // self.fps
                buffer.duration = Gst.SECOND // self.fps
                pushed += 1
                is_over = source.push_buffer(buffer) != Gst.FlowReturn.OK
            return not is_over

        def end(_media: Any) -> None:
            nonlocal is_over
            is_over = True

        media.connect("unprepared", end)
        if push():
            GLib.timeout_add(5, push)


def film(spec: str) -> tuple[str, Camera]:
    """`/path=FILE@FPS` -> path, factory."""
    path, _, rest = spec.partition("=")
    file, _, fps = rest.rpartition("@")
    return path, Camera(FILM, "! h264parse", lambda: film_pictures(file), int(fps))


def clock(path: str, width: int, height: int, fps: int) -> tuple[str, Camera]:
    caps = f"video/x-raw,format=I420,width={width},height={height},framerate={fps}/1"
    encode = f"! x264enc tune=zerolatency speed-preset=ultrafast threads=1 key-int-max={fps}"
    return path, Camera(caps, encode, lambda: clock_pictures(width, height), fps)


def ask_for_password(server: Any, cameras: Collection[Camera], user: str, password: str) -> None:
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", ROLE)
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    auth.add_digest(user, password, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    for action in ("access", "construct"):
        permissions.add_permission_for_role(ROLE, f"media.factory.{action}", True)
    for camera in cameras:
        camera.set_permissions(permissions)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="8554")
    parser.add_argument("--film", action="append", default=[], metavar="/PATH=FILE.h264@FPS")
    parser.add_argument("--clock", metavar="/PATH")
    parser.add_argument("--size", default="640x360", help="of the clock")
    parser.add_argument("--fps", type=int, default=25, help="of the clock")
    parser.add_argument("--user")
    parser.add_argument("--password")
    options = parser.parse_args()
    Gst.init(None)
    cameras = dict(film(spec) for spec in options.film)
    if options.clock:
        width, height = map(int, options.size.split("x"))
        cameras |= [clock(options.clock, width, height, options.fps)]
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(options.port)
    for path, camera in cameras.items():
        server.get_mount_points().add_factory(path, camera)
    if options.user:
        ask_for_password(server, cameras.values(), options.user, options.password)
    if server.attach(None) == 0:
        sys.exit(f"port {options.port} is taken")
    loop = GLib.MainLoop()
    for number in (signal.SIGINT, signal.SIGTERM):
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, loop.quit)
    print(f"ready rtsp://127.0.0.1:{options.port}", *cameras, flush=True)
    loop.run()


if __name__ == "__main__":
    main()
