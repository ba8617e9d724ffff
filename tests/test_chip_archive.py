"""The archive that grows: broken off anywhere, it becomes the same in the end."""

import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import DatasetError
from training.preparing.chip_archive import ChipArchive

Work = list[tuple[str, bytes | str]]
MADE = {"size": 112, "pictures": "abc"}
WORK = [
    (f"folder/{i}.webp", f"no face {i}" if i % 5 == 2 else bytes([i]) * (i * 37)) for i in range(40)
]
LONG = ("long/" + "ü" * 120 + ".webp", b"x" * 600)


def go_on(
    folder: Path,
    work: Work,
    stop_after: int | None = None,
    made: dict[str, Any] = MADE,
    replace: bool = False,
) -> int:
    """Do the work from where it is; returns how much was done before."""
    with ChipArchive(folder, "set", made, replace) as archive:
        begun = len(archive.entries)
        for n, (name, outcome) in enumerate(work[begun:]):
            if n == stop_after:
                return begun
            archive.add(name, outcome)
        archive.finish(folder / "set.csv")
        assert archive.finished
    return begun


def whole(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "set.tar").read_bytes(), (folder / "set.progress.jsonl").read_bytes()


@pytest.fixture
def reference(tmp_path: Path) -> tuple[bytes, bytes]:
    folder = tmp_path / "reference"
    go_on(folder, [*WORK, LONG])
    return whole(folder)


def test_any_tar_program_reads_the_archive(tmp_path: Path) -> None:
    go_on(tmp_path, [*WORK, LONG])
    with tarfile.open(tmp_path / "set.tar") as tar:
        files = {member.name: tar.extractfile(member) for member in tar}
        found = {name: file.read() for name, file in files.items() if file}
    assert found == {name: data for name, data in [*WORK, LONG] if isinstance(data, bytes)}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set.progress.jsonl", "set.tar"]


def test_broken_off_again_and_again_it_is_the_same_in_the_end(
    tmp_path: Path, reference: tuple[bytes, bytes]
) -> None:
    done = [go_on(tmp_path, [*WORK, LONG], stop_after=7) for _ in range(5)]
    assert done == [0, 7, 14, 21, 28]
    assert not (tmp_path / "set.tar").exists()
    go_on(tmp_path, [*WORK, LONG])
    assert whole(tmp_path) == reference


def test_killed_at_any_byte_it_is_the_same_in_the_end(
    tmp_path: Path, reference: tuple[bytes, bytes]
) -> None:
    rng = np.random.default_rng(0)
    part, log = tmp_path / "set.tar.part", tmp_path / "set.progress.jsonl"
    for _ in range(12):
        go_on(tmp_path, [*WORK, LONG], stop_after=20)
        chips, lines = part.read_bytes(), log.read_bytes()
        go_on(tmp_path, [*WORK, LONG])
        assert whole(tmp_path) == reference
        # A line is written after its chip, so that either file may be cut short, ...
        (tmp_path / "set.tar").unlink()
        part.write_bytes(chips[: rng.integers(len(chips) + 1)])
        log.write_bytes(lines[: rng.integers(lines.index(b"\n") + 1, len(lines) + 1)])
        # ... and what came last may be there in part.
        with part.open("ab") as file:
            file.write(b"half a chip")
        go_on(tmp_path, [*WORK, LONG])
        assert whole(tmp_path) == reference
        for path in tmp_path.glob("set.*"):
            path.unlink()


def test_a_finished_archive_is_left_alone(tmp_path: Path, reference: tuple[bytes, bytes]) -> None:
    go_on(tmp_path, [*WORK, LONG])
    before = (tmp_path / "set.tar").stat()
    assert go_on(tmp_path, [*WORK, LONG]) == len(WORK) + 1
    after = (tmp_path / "set.tar").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_a_finished_archive_that_was_damaged_is_made_again(
    tmp_path: Path, reference: tuple[bytes, bytes]
) -> None:
    go_on(tmp_path, [*WORK, LONG])
    os.truncate(tmp_path / "set.tar", 5000)
    assert go_on(tmp_path, [*WORK, LONG]) == 0
    assert whole(tmp_path) == reference


@pytest.mark.parametrize("stop_after", [10, None])
def test_other_settings_are_refused_unless_it_is_to_be_replaced(
    tmp_path: Path, stop_after: int | None
) -> None:
    go_on(tmp_path, WORK, stop_after)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = MADE | {"size": 96}
    with pytest.raises(DatasetError, match=r"with size 112, not 96; .*--replace"):
        go_on(tmp_path, WORK, made=other)
    with pytest.raises(DatasetError, match="from other images"):
        go_on(tmp_path, WORK, made=MADE | {"pictures": "def"})
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    go_on(tmp_path, WORK[:3], made=other, replace=True)
    assert len((tmp_path / "set.progress.jsonl").read_bytes().splitlines()) == 4


def test_until_the_new_archive_is_whole_the_old_one_and_its_table_stay(tmp_path: Path) -> None:
    go_on(tmp_path, WORK)
    (tmp_path / "set.csv").touch()
    before = (tmp_path / "set.tar").read_bytes()
    other = MADE | {"size": 96}
    for _ in range(2):  # the second time nothing is begun anew: the same command goes on
        go_on(tmp_path, WORK[:30], stop_after=10, made=other, replace=True)
        assert (tmp_path / "set.tar").read_bytes() == before
        assert (tmp_path / "set.csv").exists()
    assert go_on(tmp_path, WORK[:30], made=other, replace=True) == 20
    assert (tmp_path / "set.tar").read_bytes() != before
    assert not (tmp_path / "set.csv").exists()


def test_an_archive_of_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "set.tar").write_bytes(b"published")
    with pytest.raises(DatasetError, match="not made by this program"):
        go_on(tmp_path, WORK)
    assert [path.name for path in tmp_path.iterdir()] == ["set.tar"]
    assert (tmp_path / "set.tar").read_bytes() == b"published"


def test_a_second_run_is_kept_out(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with ChipArchive(tmp_path, "set", MADE, replace=False) as first:
        first.add(*WORK[0])
        with pytest.raises(DatasetError, match="another run"):
            go_on(tmp_path, WORK)
    go_on(tmp_path, WORK)


def test_a_full_disk_is_one_line_and_loses_nothing(
    tmp_path: Path, reference: tuple[bytes, bytes]
) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, before[1]))
    try:
        with pytest.raises(DatasetError, match=r"set\.tar cannot be written: .*to resume"):
            go_on(tmp_path, [*WORK, LONG])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert go_on(tmp_path, [*WORK, LONG]) > 3
    assert whole(tmp_path) == reference


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"cannot be written: (Not a directory|File exists)"):
        go_on(tmp_path / "file", WORK)
