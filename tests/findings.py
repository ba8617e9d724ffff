"""What the tests of the doctor share: options, and the finding among findings."""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from doctor.__main__ import parse
from doctor.report import Finding, Level

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "samples" / "sample.mp4"
SAFETY_S = 10.0  # only ever reached by a test that fails


def options(**changes: Any) -> argparse.Namespace:
    """Those of stream.py for its sample, without a window."""
    options = parse(["--src", "sample"])
    return argparse.Namespace(**vars(options) | {"no_window": True} | changes)


def only(findings: Iterable[Finding], level: Level | None = None) -> Finding:
    """The one finding (of a level) that there is."""
    (found,) = [each for each in findings if level in (None, each.level)]
    assert bool(found.remedy) == (found.level is not Level.OK)
    return found


def write_files(root: Path, contents: Mapping[str, str]) -> None:
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
