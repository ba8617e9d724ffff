"""Ctrl-C in the first seconds of the real program: it ends without a word."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENDED = (0, -signal.SIGINT)
DEADLINE_S = 30

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs signals"),
]


def start(*python_options: str) -> subprocess.Popen[str]:
    command = [sys.executable, *python_options, "stream.py", "--src", "sample", "--no-window"]
    return subprocess.Popen(
        [*command, "--events", os.devnull], cwd=ROOT, text=True, stderr=subprocess.PIPE
    )


IMPORTING = """
import os, signal, sys, threading
from program.ending import Ending
signal.signal(signal.SIGINT, Ending().on_signal)
try:
    import slow
    threading.Event().wait(20)
except KeyboardInterrupt:
    print("slow" in sys.modules and sys.modules["slow"].complete)
"""
SLOW = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(0.1)
complete = True
"""


def test_an_import_comes_to_its_end_before_ctrl_c_is_heard(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    command = [sys.executable, "-c", IMPORTING]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize("module", ["argparse", "numpy", "cv2", "scipy.linalg", "av", "openvino"])
def test_ctrl_c_after_the_import_of(module: str) -> None:
    with start("-X", "importtime") as process:
        assert process.stderr is not None
        for line in process.stderr:  # each import is a line as soon as it is done
            if line.rstrip().endswith(f" {module}"):
                break
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=DEADLINE_S)
    assert "Traceback" not in error and "Error" not in error
    assert process.returncode in ENDED


@pytest.mark.parametrize("delay_s", [0.4, 0.6, 0.8, 1.0, 1.25, 1.5])
def test_ctrl_c_after_a_while(delay_s: float) -> None:
    with start() as process:
        time.sleep(delay_s)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=DEADLINE_S)
    lines = error.splitlines()
    assert lines == [] or (len(lines) == 1 and re.search(r" in \d+ s", lines[0]))
    assert process.returncode in ENDED
