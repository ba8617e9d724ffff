"""The version stands in one place, and the change log knows it."""

import re
import tomllib
from pathlib import Path

from version import VERSION

ROOT = Path(__file__).resolve().parent.parent


def test_the_version_has_three_numbers() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


def test_pyproject_reads_the_version_instead_of_repeating_it() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert settings["project"]["dynamic"] == ["version"]
    assert settings["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "version.VERSION"}


def test_the_newest_entry_of_the_change_log_is_of_this_version() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    newest = re.search(r"^## \[(.+?)\]", changes, re.MULTILINE)
    assert newest is not None and newest[1] == VERSION
