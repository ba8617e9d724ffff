"""Shared fixtures: where the real faces and clips are, and skipping when they are not."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    folder = Path(os.environ.get("FACES_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no folder of real faces: set FACES_DATA to run this test")
    return folder
