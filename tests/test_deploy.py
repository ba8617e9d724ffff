"""The unit and the configuration of deploy/ are what systemd and the program understand."""

import shlex
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from program.config import read_config
from program.ending import _CLOSING_S
from stream import parse_arguments

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
UNIT = DEPLOY / "faces.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_no_fault_in_the_unit() -> None:
    verify = ["systemd-analyze", "verify", str(UNIT)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_starts_the_program_with_a_configuration_that_it_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unit = RawConfigParser(strict=False)
    unit.read_string(UNIT.read_text("utf-8"))
    words = shlex.split(unit["Service"]["ExecStart"])
    assert words == ["/usr/bin/env", "faces", "--config", "/etc/faces/faces.toml"]
    assert int(unit["Service"]["TimeoutStopSec"]) > _CLOSING_S
    monkeypatch.setenv("DOOR", "rtsp://joe:s3cret@door/stream")
    options = parse_arguments(["--config", str(DEPLOY / "faces.toml")])
    assert options.no_window and options.cameras[0].address == "rtsp://joe:s3cret@door/stream"
    assert not read_config(DEPLOY / "faces.toml").holds_secrets
    state = f"/var/lib/{unit['Service']['StateDirectory']}/"
    assert all(str(path).startswith(state) for path in [Path(options.events)])
