"""What a network learnt from, as the record NAME.json beside its file NAME.keras says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from errors import WeightsError
from training.chips import set_name
from training.result_files import write_json


def read_record(path: Path) -> dict[str, Any]:
    """Return the record of a training; {} if there is none, WeightsError if it is damaged."""
    try:
        record = json.loads(path.read_text("utf-8"))
        if not isinstance(record, dict):
            raise ValueError("no object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"cannot read {path} ({error}); restore or remove it") from error
    return record


def sets_learnt(record: dict[str, Any]) -> list[str] | None:
    """Return the sets that a network learnt from, in all its trainings; None = nobody knows."""
    if "learnt_from" in record:
        return None if record["learnt_from"] is None else list(record["learnt_from"])
    settings = record.get("settings", {})
    if settings.get("init") or "sets" not in settings:
        return None
    return [set_name(name) for name in settings["sets"]]


def words(text: str) -> set[str]:
    """Return the words of a manifest's "trained_on", such as names of sets, in small letters."""
    return set(re.findall(r"\w+", text.casefold().replace("-", "_")))


def learnt_from(sets: Iterable[str], before: Iterable[Path]) -> list[str] | None:
    """Return the sets that a network learnt from which began with others.

    Args:
        sets: those of the new training.
        before: the files of the networks that it began with, or was made of.

    Returns:
        All sets by name; None if one of the files has no record that says so.
    """
    found = {set_name(name) for name in sets}
    for path in before:
        known = sets_learnt(read_record(path.with_suffix(".json")))
        if known is None:
            return None
        found |= set(known)
    return sorted(found)


def write_derived(path: Path, sources: Sequence[Path], sets: Iterable[str]) -> None:
    """Write the record of a network made from others, and from more rows, without `train`.

    It has the architecture and `learnt_from`. What was measured on the sources, such as the
    spread of ages, is not true of it. Of a network that was changed in place all is kept.
    """
    before = read_record(sources[0].with_suffix(".json"))
    known = {key: before[key] for key in before if key == "architecture" or path in sources}
    write_json(path.with_suffix(".json"), known | {"learnt_from": learnt_from(sets, sources)})
