"""A headless Chromium that tests talk to through its DevTools protocol."""

import asyncio
import base64
import contextlib
import itertools
import shutil
import subprocess
from pathlib import Path

import aiohttp
import pytest

_START_S = 30.0

_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--hide-scrollbars", "--remote-debugging-port=0", "about:blank",
)  # fmt: skip


def chromium_or_skip() -> str:
    """The browser's path; the test is skipped where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no chromium on the PATH (Debian: apt-get install chromium)")
    return found


class Page:
    """One page of a running browser.

    Attributes:
        complaints: what the page wrote to the console, and its uncaught errors.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)

    async def call(self, method: str, **parameters):
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            said = await self._socket.receive_json(timeout=_START_S)
            if said.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(str(said["params"]))
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]

    async def open(self, url: str, size_wh=(1280, 800), dark: bool = False) -> None:
        """Show a page; a narrow one is that of a phone."""
        await self.call("Runtime.enable")
        await self.call("Log.enable")
        width, height = size_wh
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call("Page.navigate", url=url)

    async def value(self, script: str):
        """What a piece of JavaScript gives; promises are awaited."""
        told = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, script: str):
        """Wait until a piece of JavaScript gives something true, and return it."""
        async with asyncio.timeout(_START_S):
            while not (value := await self.value(script)):
                await asyncio.sleep(0.05)
        return value

    async def screenshot(self, path: Path, whole: bool = False) -> None:
        options = {}
        if whole:
            size = (await self.call("Page.getLayoutMetrics"))["cssContentSize"]
            options = {"clip": {**size, "scale": 1}, "captureBeyondViewport": True}
        told = await self.call("Page.captureScreenshot", **options)
        path.write_bytes(base64.b64decode(told["data"]))


@contextlib.asynccontextmanager
async def browser(folder: Path):
    """Start a browser with its profile in `folder` and give its page."""
    command = [chromium_or_skip(), f"--user-data-dir={folder}", *_OPTIONS]
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=silent, stdout=silent, stderr=silent)
    try:
        note = folder / "DevToolsActivePort"
        async with asyncio.timeout(_START_S):
            while not (note.exists() and "\n" in note.read_text()):
                await asyncio.sleep(0.05)
        port = note.read_text().split()[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                targets = await answer.json()
            address = next(t["webSocketDebuggerUrl"] for t in targets if t["type"] == "page")
            async with session.ws_connect(address, max_msg_size=0) as socket:
                yield Page(socket)
    finally:
        process.terminate()
        try:
            process.wait(_START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
