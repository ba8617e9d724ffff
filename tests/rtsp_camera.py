"""A real RTSP server on this machine that can be killed, frozen and started again."""

import shutil
import signal
import socket
import subprocess
from pathlib import Path

SERVER = Path(__file__).with_name("rtsp_server.py")
PYTHON = "/usr/bin/python3"  # GStreamer's bindings are Debian's, for Debian's Python
_PROBE = "import gi; gi.require_version('GstRtspServer', '1.0')"


def missing() -> str:
    """Why there can be no such server here; empty if there can."""
    if not shutil.which(PYTHON):
        return f"no {PYTHON}"
    done = subprocess.run([PYTHON, "-c", _PROBE], capture_output=True, check=False)
    return "gir1.2-gst-rtsp-server-1.0 is not installed" if done.returncode else ""


class RtspCamera:
    """The server as a process; its `/clock` shows the time, see `benchmarks.latency.frame_age_s`.

    Args:
        user: asked for, with `password`; none = open to all.
        password: may hold any character.
    """

    def __init__(self, user: str = "", password: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._user, self._password = user, password
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def address(self, path: str = "/clock", password: str | None = None) -> str:
        """The address, as a user would type it; with another password if that is given."""
        who = f"{self._user}:{self._password if password is None else password}@"
        return f"rtsp://{who if self._user else ''}127.0.0.1:{self.port}{path}"

    def start(self) -> None:
        """Start, and return once it serves."""
        command = [PYTHON, str(SERVER), "--port", str(self.port), "--clock", "/clock"]
        if self._user:
            command += ["--user", self._user, "--password", self._password]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        ready = self._process.stdout.readline() if self._process.stdout else ""
        if not ready.startswith("ready"):
            raise RuntimeError(f"the server did not start, said {ready!r}")

    def kill(self) -> None:
        """End it at once, as a power cut does; may be called again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()
        self._process = None

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
