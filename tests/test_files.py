"""Files to be written: checked first, written whole or not at all."""

import os
import subprocess
import sys
import threading
import time
from io import FileIO
from pathlib import Path

import av
import pytest

from errors import SinkError
from files import (
    check_apart,
    check_writable,
    created_with,
    is_special,
    locked,
    replacing,
    sink_error,
    sole_writer,
    write_lines,
    write_whole,
)
from tests.recordings import ROOT, run_child

FULL_DISK = """
import resource, sys
from pathlib import Path
from files import write_whole
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_whole(Path(sys.argv[1]), bytes(2000))
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_a_still_for_which_there_is_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    done = run_child(FULL_DISK, tmp_path / "still.png")
    assert (done.stdout, done.stderr) == ("File too large\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_file_written_whole_replaces_what_there_was(tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    for data in (b"old", b"new"):
        write_whole(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_what_ffmpeg_cannot_write_is_reported_in_its_words_only() -> None:
    error = av.error.ProtocolNotFoundError(-1330794744, "Protocol not found", "12:30.mp4")
    assert str(sink_error("12:30.mp4", error)) == "12:30.mp4: cannot be written: Protocol not found"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SinkError, match="Permission denied"):
        check_writable(tmp_path / "out.mp4")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("name", "target", "cause"),
    [
        ("link.csv", "link.csv", "Too many levels of symbolic links"),
        ("link.csv", "missing/out.csv", "there is no folder .*missing"),
        ("x" * 300 + ".csv", "", "File name too long"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_beforehand(
    name: str, target: str, cause: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if target:
        path.symlink_to(target)
    with pytest.raises(SinkError, match=cause):
        check_writable(path)
    with sole_writer([path]):
        assert not is_special(path)


def test_what_is_read_is_refused_as_output_under_any_name(tmp_path: Path) -> None:
    source, link, second = (tmp_path / name for name in ("in.mp4", "link.mp4", "second.mp4"))
    source.touch()
    link.symlink_to(source)
    second.hardlink_to(source)
    for output in (source, link, second, tmp_path / "." / "in.mp4"):
        with pytest.raises(SinkError, match="is the source itself"):
            check_apart([output], [source])
    check_apart([tmp_path / "out.mp4"], [source])


def test_two_outputs_of_one_file_are_refused_before_it_exists(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    names = [tmp_path / "folder" / "out", tmp_path / "link" / "out"]
    with pytest.raises(SinkError, match="same file"):
        check_apart(names)
    check_apart([names[0], tmp_path / "out"])


@pytest.mark.skipif(os.name != "posix", reason="needs links and modes")
def test_a_file_that_is_replaced_keeps_its_links_and_its_mode(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    real, link = tmp_path / "www" / "real.html", tmp_path / "report.html"
    real.write_text("old")
    real.chmod(0o644)
    link.symlink_to("www/real.html")
    with created_with(0o600):
        write_whole(link, b"new")
    assert link.is_symlink() and real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o644
    assert list((tmp_path / "www").iterdir()) == [real]


@pytest.mark.skipif(os.name != "posix", reason="needs pipes that do not wait")
def test_lines_wait_for_room_in_a_pipe_that_does_not(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    lines, found = b"a line\n" * 50_000, []

    def read() -> None:
        while data := os.read(reading, 1 << 16):
            found.append(data)

    reader = threading.Thread(target=read)
    with FileIO(writing, "w") as file:
        file.write(b"x" * (1 << 20))  # fills it
        reader.start()
        write_lines(file, lines)
    reader.join()
    os.close(reading)
    assert b"".join(found).lstrip(b"x") == lines


def test_a_file_whose_writing_fails_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(ValueError, match="in the middle"), replacing(path) as beside:
        beside.write_text("half")
        raise ValueError("in the middle")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


HOLD = """
import sys
from pathlib import Path
from files import sole_writer
with sole_writer(map(Path, sys.argv[1:])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_refused_until_the_first_has_ended_or_was_killed(
    tmp_path: Path,
) -> None:
    pytest.importorskip("fcntl")
    path, link = tmp_path / "out.mp4", tmp_path / "link.mp4"
    link.symlink_to(path)
    command = [sys.executable, "-c", HOLD, str(path)]
    for kill in (False, True):
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as first:
            assert first.stdout and first.stdout.readline() == b"held\n"
            for name in (path, link):
                with pytest.raises(SinkError, match="another run writes it"), sole_writer([name]):
                    pass
            with sole_writer([tmp_path / "other.mp4"]):
                pass
            if kill:
                first.kill()
        with sole_writer([path]):
            pass
        assert list(tmp_path.iterdir()) == [link]


def test_no_two_ever_hold_a_lock_at_once(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    holders, most, refused = 0, [0], [0]

    def hold_often() -> None:
        nonlocal holders
        for _ in range(300):
            try:
                with locked(tmp_path / "lock"):
                    holders += 1
                    most.append(holders)
                    time.sleep(1e-5)
                    holders -= 1
            except BlockingIOError:
                refused.append(1)

    threads = [threading.Thread(target=hold_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(refused) > 1
    assert list(tmp_path.iterdir()) == []


def test_where_no_lock_can_be_made_nothing_is_held(tmp_path: Path) -> None:
    with sole_writer([tmp_path / "missing" / "out.mp4", Path(os.devnull)]):
        assert list(tmp_path.iterdir()) == []


def test_a_file_with_two_names_has_one_writer(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("x")
    (tmp_path / "also.csv").hardlink_to(tmp_path / "out.csv")
    with (
        sole_writer([tmp_path / "out.csv"]),
        pytest.raises(SinkError, match=r"also\.csv: another run writes it"),
        sole_writer([tmp_path / "also.csv"]),
    ):
        pass
    with sole_writer([tmp_path / "also.csv"]):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_in_the_place_of_a_lock_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".out.mp4.lock")
    with sole_writer([tmp_path / "out.mp4"]):
        assert len(list(tmp_path.iterdir())) == 1


WITHOUT_STDERR = """
import os, sys
os.close(2)
sys.stderr = None  # as Python has it where it is started so
from files import ensure_stderr
ensure_stderr()
print("nowhere", file=sys.stderr, flush=True)
print(sys.stderr.fileno())
"""


def test_a_process_without_standard_error_gets_one_that_goes_nowhere() -> None:
    done = run_child(WITHOUT_STDERR)
    assert (done.stdout, done.stderr) == ("2\n", "")


@pytest.mark.parametrize(("mode", "folder"), [(0o600, 0o700), (0o640, 0o750), (0o666, 0o777)])
def test_files_are_made_for_those_who_may_read_them(tmp_path: Path, mode: int, folder: int) -> None:
    before = os.umask(0o022)
    try:
        with created_with(mode):
            write_whole(tmp_path / "whole", b"x")
            (tmp_path / "opened").open("w").close()
            (tmp_path / "folder").mkdir()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    made = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert made == {"whole": mode, "opened": mode, "folder": folder}
