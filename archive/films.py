"""Finds films, names their outputs, and keeps note of what is finished.

Every film that was begun has a small JSON file in `DIR/.batch/` with its path, its options
and, once it is finished, its report. The report is written last, after the outputs.
"""

import contextlib
import glob
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from errors import SinkError, SourceError
from files import check_apart, check_writable, locked, sink_error, write_whole
from sources.photographs import natural_key

FILM_SUFFIXES = frozenset(
    {
        ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts",
        ".wmv", ".flv", ".3gp", ".ogv", ".vob", ".mxf",
    }
)  # fmt: skip
VIDEO, EVENTS, PEOPLE = "video.mp4", "events.jsonl", "people.csv"  # in a film's work folder
_SUFFIXES = {EVENTS: ".jsonl", PEOPLE: ".csv", VIDEO: ".mp4"}
_NOTES, _UNFINISHED = (
    ".batch",
    "unfinished",
)  # a folder in it, so that no film is called like a note
_LONGEST_NAME = 200  # bytes, of the 255 that file systems have


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a film: frames, people seen, seconds of work, warnings."""

    frames: int
    people: int
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Film:
    """One film and where its outputs go.

    Attributes:
        path: of the film, absolute.
        folder: of the outputs, absolute.
        name: of the outputs, without suffix; unique in the folder.
        made_from: what the outputs depend on; where it differs they are made again.
        slice_s: length of the slices when it was begun, None before that.
        report: None while it is not finished.
    """

    path: Path
    folder: Path
    name: str
    made_from: dict[str, Any]
    slice_s: float | None = None
    report: Report | None = None

    @property
    def work(self) -> Path:
        """The folder for unfinished files."""
        return self.folder / _NOTES / _UNFINISHED / self.name

    def output(self, kind: str) -> Path:
        """Where `video.mp4`, `events.jsonl` ... of the work folder will go."""
        return self.folder / (self.name + _SUFFIXES[kind])


def find_films(inputs: Iterable[str], folder: Path) -> list[Path]:
    """The films that `inputs` name, each once, absolute, in natural order.

    Args:
        inputs: films, folders (searched recursively, without hidden files) and patterns such
            as `archive/**/*.mp4`.
        folder: of the outputs; what lies in it is skipped.

    Raises:
        SourceError: a path does not exist, or a folder or pattern holds no film.
        SinkError: a named film lies in the output folder.
    """
    found: dict[Path, None] = {}
    for text in inputs:
        films = _named_by(text)
        if not films:
            raise SourceError(f"{text}: no films there; give a film, a folder of films or '*.mp4'")
        elsewhere = [film for film in films if folder not in film.parents]
        if not elsewhere:
            raise SinkError(f"--out {folder} holds the films of {text}; choose another folder")
        found.update(dict.fromkeys(elsewhere))
    return list(found)


def _named_by(text: str) -> list[Path]:
    """The films that one argument names; raises SourceError where it names nothing."""
    path = Path(text).expanduser()
    try:
        if path.is_dir():
            return _films_in(path)
        if path.exists():
            return [_absolute(path)]
    except OSError as error:  # name too long, or no permission
        raise SourceError(f"{text}: {error.strerror}; check the path") from error
    if glob.has_magic(text):
        # Path.glob needs a folder to start from; patterns may name one or leave it out.
        matches = (Path(p) for p in sorted(glob.glob(str(path), recursive=True)))  # noqa: PTH207
        return [_absolute(each) for each in matches if each.is_file()]
    raise SourceError(f"{text}: no such file or folder; check the path")


def _absolute(path: Path) -> Path:
    """Resolve links in the folder, so that a film has one path; its own name is kept."""
    return path.parent.resolve() / path.name


def _films_in(folder: Path) -> list[Path]:
    films = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (_absolute(Path(root, name)) for name in names if not name.startswith("."))
        films += sorted((p for p in paths if p.suffix.lower() in FILM_SUFFIXES), key=natural_key)
    return films


def make_folder(folder: Path) -> None:
    """Make the folder for the outputs; raises SinkError where it cannot be written to."""
    try:
        (folder / _NOTES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise sink_error(folder, error) from error
    check_writable(folder / _NOTES / "lock")


@contextlib.contextmanager
def sole_user(folder: Path) -> Iterator[None]:
    """Lock the folder against a second run, where the system has file locks.

    Raises:
        SinkError: another run is writing into it.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / _NOTES / "lock"))
        except BlockingIOError:
            raise SinkError(
                f"another run writes into {folder}; wait for its end or choose another --out"
            ) from None
        yield


def plan_outputs(paths: Sequence[Path], folder: Path, settings: dict[str, Any]) -> list[Film]:
    """Choose the name of each film's outputs: the one it had before, or a free one.

    `settings` is what the outputs depend on besides the film, ready for JSON.

    Raises:
        SinkError: an output would replace a film.
    """
    known = _read_notes(folder)
    taken = {note["name"].casefold() for note in known.values()}
    films = []
    for path in paths:
        made_from = state_of(path) | settings
        note = known.get(str(path))
        name = note["name"] if note else _free_name(path.stem, folder, taken)
        taken.add(name.casefold())
        film = Film(path, folder, name, made_from)
        if note and note["made_from"] == made_from:
            film = replace(film, slice_s=note["slice_s"], report=_report(film, note))
        else:
            shutil.rmtree(film.work, ignore_errors=True)
        films.append(film)
    check_apart((film.output(kind) for film in films for kind in _SUFFIXES), paths)
    return films


def state_of(path: Path) -> dict[str, Any]:
    """Size and time of change of a file; both None for a broken link, which fails when opened."""
    try:
        stat = path.stat()
    except OSError:
        return {"bytes": None, "modified_ns": None}
    return {"bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}


def _free_name(stem: str, folder: Path, taken: set[str]) -> str:
    """`stem`, cut where it leaves no room for suffixes, numbered where it is taken."""
    encoded = os.fsencode(stem)
    if len(encoded) > _LONGEST_NAME:
        stem = encoded[:_LONGEST_NAME].decode(errors="ignore")
    name, number = stem, 1
    while name.casefold() in taken or any(
        (folder / (name + suffix)).exists() for suffix in _SUFFIXES.values()
    ):
        number += 1
        name = f"{stem}_{number}"
    return name


def _read_notes(folder: Path) -> dict[str, dict[str, Any]]:
    """Path of a film -> its note; unreadable ones count as never finished."""
    notes = {}
    for path in sorted((folder / _NOTES).glob("*.json")):
        with contextlib.suppress(ValueError, KeyError, TypeError, OSError):
            note = json.loads(path.read_text(encoding="utf-8"))
            notes[note["source"]] = {
                "name": path.stem,
                **{key: note[key] for key in ("made_from", "slice_s", "report")},
            }
    return notes


def _report(film: Film, note: dict[str, Any]) -> Report | None:
    """The report of an earlier run, if all its outputs still exist."""
    wanted = {VIDEO: film.made_from.get("video"), PEOPLE: not film.made_from.get("anonymous")}
    kinds = [kind for kind in _SUFFIXES if wanted.get(kind, True)]
    if note["report"] is None or not all(film.output(kind).is_file() for kind in kinds):
        return None
    return Report(**note["report"] | {"notes": tuple(note["report"]["notes"])})


def keep(film: Film) -> None:
    """Write the note of a film; raises SinkError where it cannot be written."""
    note = {
        "source": str(film.path),
        "made_from": film.made_from,
        "slice_s": film.slice_s,
        "report": film.report and asdict(film.report),
    }
    path = film.folder / _NOTES / f"{film.name}.json"
    try:
        write_whole(path, json.dumps(note, indent=1).encode())
    except OSError as error:
        raise sink_error(path, error) from error


def publish(film: Film) -> None:
    """Move the files of the work folder to their final names; each appears whole.

    Raises:
        SinkError: one cannot be moved.
    """
    for part in sorted(film.work.iterdir()):
        try:
            if part.name in _SUFFIXES:
                part.replace(film.output(part.name))
            elif part.name.startswith(Path(VIDEO).stem + "-"):  # the image size changed
                number = part.stem.rpartition("-")[2]
                part.replace(film.folder / f"{film.name}.part{number}{part.suffix}")
        except OSError as error:
            raise sink_error(part, error) from error
