"""Shared fixtures: where the real faces and clips are, and skipping when they are not."""

import os
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" has it ignored
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored


@pytest.fixture(scope="session")
def data_dir() -> Path:
    folder = Path(os.environ.get("FACES_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no folder of real faces: set FACES_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def cases_dir(data_dir: Path) -> Path:
    folder = data_dir.parent / "cases" / "streams"
    if not folder.is_dir():
        pytest.skip("no folder of films that need care beside that of real faces")
    return folder
