"""What the machine offers: Python and packages, processors, memory, disk, clock.

Imports the standard library only, so that it can report what else is missing.
"""

import contextlib
import importlib
import math
import os
import platform
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Collection, Iterator
from importlib import metadata
from pathlib import Path

from doctor.report import Finding, bad, ok, problem, warning

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
INSTALL = "pip install -r requirements-live.txt"

_OLDEST, _NEWEST = (3, 11), (3, 13)
_MODULES = {
    "opencv-python": "cv2",
    "pillow": "PIL",
    "dlib-bin": "dlib",
    "paho-mqtt": "paho.mqtt",
}  # where the module is not called like its package
_NEVER_IMPORTED = frozenset({"mtcnn", "face_recognition_models"})
_GIB = 2**30
_LEAST_MEMORY_GIB = 1.0  # the program takes about 0.5
_LEAST_DISK_GIB = 1.0  # twenty minutes of 1080p
_WRITTEN_YEAR = 2025  # no correct clock shows an earlier year


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Iterator[Finding]:
    """Whether the packages support this version of Python."""
    text = f"{'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    wanted = f"{'.'.join(map(str, _OLDEST))} to {'.'.join(map(str, _NEWEST))}"
    if version[:2] < _OLDEST:
        yield problem("python", text, f"make the environment with Python {wanted}")
    elif version[:2] > _NEWEST:
        yield warning("python", f"{text} is untried", f"if it fails, use Python {wanted}")
    else:
        yield ok("python", text)


def _installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def packages(
    unneeded: Collection[str] = (),
    project: Path = PROJECT,
    version_of: Callable[[str], str | None] = _installed_version,
    load: Callable[[str], object] = importlib.import_module,
) -> Iterator[Finding]:
    """Whether the dependencies in `project` are installed in their versions, and load.

    `unneeded` packages may be missing and are not loaded.
    """
    pins = [
        pin.split("==")
        for pin in tomllib.loads(project.read_text("utf-8"))["project"]["dependencies"]
    ]
    good = 0
    for name, wanted in pins:
        needed, version = name not in unneeded, version_of(name)
        if version is None:
            yield bad("packages", needed, f"{name} is not installed", INSTALL)
            continue
        is_loaded = needed and name not in _NEVER_IMPORTED
        if is_loaded and (failure := _failure(_MODULES.get(name, name), load)):
            yield problem("packages", f"{name} does not load: {failure}", _remedy(failure))
        elif version != wanted:
            yield warning("packages", f"{name} is {version}, tried with {wanted}", INSTALL)
        else:
            good += 1
    yield ok("packages", f"{good} of {len(pins)} as in {project.name}")


def _failure(module: str, load: Callable[[str], object]) -> str | None:
    """Return why a module cannot be imported, in one line, or None."""
    try:
        load(module)
    except Exception as error:  # whatever a broken package raises
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _remedy(failure: str) -> str:
    if re.search(r"lib(GL|gthread|glib)", failure):
        return "on Debian: apt-get install libgl1 libglib2.0-0"
    return INSTALL.replace("install", "install --force-reinstall")


def processors(threads: int | None = None, root: Path = Path("/")) -> Iterator[Finding]:
    """How many cores this process may use, by affinity and by its control group."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    text = f"{cores} of {os.cpu_count()} cores may be used"
    share = _share_of_processors(root)
    if share is None or share >= cores:
        yield ok("processors", text)
        return
    text += f", but only {share:g} at a time (control group)"
    if threads and threads <= math.ceil(share):
        yield ok("processors", f"{text}; {threads} threads were asked for")
    else:
        yield warning("processors", text, f"add --threads {math.ceil(share)}, or raise the limit")


def memory(root: Path = Path("/")) -> Iterator[Finding]:
    """How much memory this process may use; nothing where the system does not state it."""
    text = read_text(root / "proc/meminfo")
    found = dict(re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE))
    if "MemAvailable" not in found or "MemTotal" not in found:
        return
    free, total = (1024 * int(found[key]) / _GIB for key in ("MemAvailable", "MemTotal"))
    for folder in _control_groups(root, "memory"):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
        if limit is not None and limit / _GIB < total:
            total, free = limit / _GIB, min(free, max(limit - used, 0) / _GIB)
    said = f"{free:.1f} of {total:.1f} GiB are free"
    if free < _LEAST_MEMORY_GIB:
        yield warning("memory", said, "end other programs, or give the container more")
    else:
        yield ok("memory", said)


def read_text(path: Path) -> str:
    """A small text file, empty where it cannot be read."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    """The number in a file; None where it holds none, such as "max"."""
    try:
        return float(read_text(path))
    except ValueError:
        return None


def _control_groups(root: Path, kind: str) -> Iterator[Path]:
    """The visible folders of this process's control group and its parents."""
    base = root / "sys/fs/cgroup"
    yield from (base / kind, base)  # the former in version 1
    for line in read_text(root / "proc/self/cgroup").splitlines():
        if line.startswith("0::/"):
            group = base / line[4:].lstrip("/")
            while group != base and base in group.parents:
                yield group
                group = group.parent


def _share_of_processors(root: Path) -> float | None:
    """The tightest limit on processor time, in processors."""
    shares = []
    for folder in _control_groups(root, "cpu"):
        quota, period = [*read_text(folder / "cpu.max").split(), "", ""][:2]
        if not quota:
            quota, period = (
                read_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")
            )
        with contextlib.suppress(ValueError, ZeroDivisionError):
            if (share := float(quota) / float(period)) > 0:  # -1: without limit
                shares.append(share)
    return min(shares, default=None)


def disk(
    folders: Collection[Path], usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage
) -> Iterator[Finding]:
    """How much disk space the output folders have, and whether this user may write there."""
    for folder in folders:
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
            free = usage(folder)[2] / _GIB
        except OSError as error:
            reason = error.strerror or error
            yield warning("disk", f"{folder}: {reason}", "write elsewhere: --stills DIR for stills")
            continue
        text = f"{folder} may be written to, {free:.1f} GiB are free"
        if free < _LEAST_DISK_GIB:
            yield warning("disk", text, "make room before recording")
        else:
            yield ok("disk", text)


def clock(now: time.struct_time | None = None) -> Iterator[Finding]:
    """This machine's time, which stills and records carry."""
    now = now or time.localtime()
    text = time.strftime("%Y-%m-%d %H:%M, zone %Z (UTC%z)", now)
    if now.tm_year < _WRITTEN_YEAR:
        yield warning("clock", f"{text}: it is behind", "set it: timedatectl set-ntp true")
    else:
        yield ok("clock", text)
