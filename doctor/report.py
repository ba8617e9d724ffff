"""What a check finds, and how it is printed; imports the standard library only."""

import json
import os
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TextIO

from errors import redact

_INDENT = 22  # of the text: behind the level and the item
_COLOURS = {"ok": "32", "warning": "33", "problem": "31"}  # green, yellow, red


class Level(StrEnum):
    """How bad a finding is; with a `PROBLEM` the program cannot run as asked."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        item: what was checked, a word or two.
        level: how bad it is.
        text: what was found.
        remedy: what to do; empty where all is well.
    """

    item: str
    level: Level
    text: str
    remedy: str = ""


def ok(item: str, text: str) -> Finding:
    """All is well."""
    return Finding(item, Level.OK, text)


def warning(item: str, text: str, remedy: str) -> Finding:
    """Not what it should be, but the program can run."""
    return Finding(item, Level.WARNING, text, remedy)


def problem(item: str, text: str, remedy: str) -> Finding:
    """The program cannot run as asked."""
    return Finding(item, Level.PROBLEM, text, remedy)


def bad(item: str, needed: bool, text: str, remedy: str) -> Finding:
    """A problem where the item is needed for what was asked, else a warning."""
    return (problem if needed else warning)(item, text, remedy)


def of_error(item: str, needed: bool, error: Exception) -> Finding:
    """What one of our own errors says: cause and remedy are parted by the last semicolon."""
    cause, parted, remedy = str(error).rpartition("; ")
    if not parted:
        cause, _, remedy = str(error).partition(": ")
    return bad(item, needed, cause, remedy)


@dataclass(frozen=True, slots=True)
class Check:
    """A check to run.

    Attributes:
        item: its name in the report if it does not answer.
        find: yields the findings as they are known; may take long.
        needed: whether the program cannot run without.
    """

    item: str
    find: Callable[[], Iterator[Finding]]
    needed: bool = True


def lines(finding: Finding, width: int, colour: bool) -> list[str]:
    """Lay out a finding in at most `width` columns (except for one long word)."""
    level = f"{finding.level:<8}"
    if colour:
        level = f"\x1b[{_COLOURS[finding.level]}m{level}\x1b[0m"
    room = max(width - _INDENT, 20)
    shown = textwrap.wrap(redact(finding.text), room, break_on_hyphens=False) or [""]
    cure = textwrap.wrap(redact(finding.remedy), room - 3, break_on_hyphens=False)
    shown += [("-> " if i == 0 else "   ") + line for i, line in enumerate(cure)]
    head = f"{level} {finding.item:<12} "
    return [head + shown[0], *(" " * _INDENT + line for line in shown[1:])]


def print_report(findings: Iterable[Finding], out: TextIO, width: int) -> int:
    """Print findings as they come and a summary; return the exit code, 0 or 2.

    Coloured where `out` is a terminal and NO_COLOR is not set.
    """
    colour = out.isatty() and not os.environ.get("NO_COLOR")
    levels = []
    for finding in findings:
        levels.append(finding.level)
        for line in lines(finding, width, colour):
            _print(line, out)
    problems, warnings = levels.count(Level.PROBLEM), levels.count(Level.WARNING)
    if problems:
        _print(f"{_count(problems, 'problem')}: the program cannot run like this", out)
    else:
        _print(f"ready to run, {_count(warnings, 'warning')}", out)
    return 2 if problems else 0


def print_json(findings: Iterable[Finding], out: TextIO) -> int:
    """Print one JSON object, {"ready": ..., "findings": [...]}; return the exit code, 0 or 2."""
    listed = [{key: redact(value) for key, value in asdict(f).items()} for f in findings]
    ready = all(finding["level"] != Level.PROBLEM for finding in listed)
    _print(json.dumps({"ready": ready, "findings": listed}, indent=1), out)
    return 0 if ready else 2


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'s' * (number != 1)}"


def _print(line: str, out: TextIO) -> None:
    """Print without buffering; characters that the encoding lacks become escapes."""
    encoding = out.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=out, flush=True)
