"""pyproject.toml says what is needed; the requirements files are locks of it with hashes."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCKS = {
    "requirements-live.txt": None,
    "requirements.txt": "train",
    "requirements-dev.txt": "dev",
}  # file -> the extra of pyproject.toml that it locks beside the dependencies


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(extra: str | None) -> Iterator[tuple[str, str]]:
    """Name and version of what an extra and the extras that it names ask for."""
    wanted = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    for line in wanted:
        if own := re.fullmatch(rf"{PROJECT['name']}\[(.+)\]", line):
            for other in own[1].split(","):
                yield from declared(other)
        else:
            pin = re.match(r"([\w.-]+)(?:\[.+\])?==([\w.+-]+)", line)
            assert pin is not None, f"{line} has no pin"
            yield normalised(pin[1]), pin[2]


def locked(name: str) -> list[tuple[str, str]]:
    text = (ROOT / name).read_text("utf-8")
    return re.findall(r"^([\w.-]+)==([\w.+-]+)", text, re.MULTILINE)


def test_every_requirements_file_is_a_lock() -> None:
    assert {path.name for path in ROOT.glob("requirements*.txt")} == set(LOCKS)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_all_that_is_declared_and_in_that_version(name: str) -> None:
    wanted = {*declared(None), *(declared(LOCKS[name]) if LOCKS[name] else ())}
    assert wanted <= set(locked(name)), "run make lock"


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_of_a_lock_has_hashes(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    bare = re.findall(r"^[\w.-]+==.*(?<!\\)\n|^[\w.-]+==.*\\\n(?!    --hash=)", text, re.MULTILINE)
    assert locked(name) and bare == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_says_nothing_of_where_packages_are_taken_from(name: str) -> None:
    assert not re.search(r"://|^--", (ROOT / name).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_the_versions_that_the_tests_run_with(name: str) -> None:
    tested = dict[str, set[str]]()
    for package, version in locked("requirements-dev.txt"):
        tested.setdefault(package, set()).add(version)
    assert not [pin for pin in locked(name) if pin[1] not in tested.get(pin[0], {pin[1]})]
