import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from errors import SinkError
from program.face_tables import Row, sole_table, write_table

ROOT = Path(__file__).resolve().parent.parent
NAMES = ["file", "face"]
ODD_NAME = os.fsdecode(b"f\xc3\xbcr \xff, x.jpg")  # not UTF-8, with a comma
ROWS: list[Row] = [
    {"file": ODD_NAME, "face": 1, "score": 0.9},
    {"file": "b.jpg", "face": 2, "score": 0.8},
]

CHILD = """
import sys
from errors import SinkError
from program.face_tables import sole_table, write_table
try:
    with sole_table(None, []):
        write_table(None, [{"file": sys.argv[1], "face": i} for i in range(9)], ["file", "face"])
except SinkError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


def run_child(shell: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """Run CHILD by a line of shell in which "$@" is its command."""
    command = ["sh", "-c", shell, "sh", sys.executable, "-c", CHILD, ODD_NAME]
    return subprocess.run(command, cwd=ROOT, capture_output=True, env=os.environ | environment)


@pytest.mark.parametrize(
    ("shell", "cause"),
    [
        ('{ sleep 1; "$@"; echo $? >&2; } | true', "Broken pipe"),
        ('"$@" >/dev/full; echo $? >&2', "No space left on device"),
        ('"$@" >&-; echo $? >&2', "is closed"),
    ],
)
def test_a_standard_output_that_takes_nothing_is_one_line_and_no_noise_at_exit(
    shell: str, cause: str
) -> None:
    if "/dev/full" in shell and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    line, code = run_child(shell).stderr.decode().splitlines()
    assert line.startswith("standard output")
    assert cause in line
    assert code == "2"


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("ascii", rb"f\xfcr \udcff, x.jpg"), ("utf-8", b"f\xc3\xbcr \\udcff, x.jpg")],
)
def test_names_that_standard_output_cannot_say_are_escaped(encoding: str, name: bytes) -> None:
    done = run_child('"$@"', PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[1] == b'"' + name + b'",0'


def test_a_csv_file_holds_the_columns_asked_for_and_names_that_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "faces.csv"
    write_table(str(path), ROWS, NAMES)
    first, second = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    assert first == {"file": "für \\udcff, x.jpg", "face": "1"}
    assert second == {"file": "b.jpg", "face": "2"}


def test_json_on_standard_output_gives_the_rows_back(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(None, ROWS, NAMES, as_json=True)
    assert json.loads(capsys.readouterr().out) == [{k: row[k] for k in NAMES} for row in ROWS]


def test_a_json_file_gives_the_rows_back(tmp_path: Path) -> None:
    path = tmp_path / "faces.JSON"
    write_table(str(path), ROWS, NAMES)
    assert json.loads(path.read_text()) == [{k: row[k] for k in NAMES} for row in ROWS]


def test_a_table_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").mkdir()
    with pytest.raises(SinkError, match=r"faces\.csv: cannot be written"):
        write_table(str(tmp_path / "faces.csv"), ROWS, NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["faces.csv"]


def test_a_table_of_another_ending_is_refused_beforehand(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"must end in \.csv, \.json"):
        take(tmp_path / "faces.xlsx")


def take(path: Path, *inputs: Path) -> bool:
    """Whether a run that writes the table to `path` replaces another."""
    with sole_table(str(path), inputs) as replaces:
        return replaces


@pytest.mark.parametrize("name", ["faces.csv", "faces.json"])
@pytest.mark.parametrize("rows", [ROWS, [{"file": "x" * 300, "face": 1}], []])
def test_a_table_replaces_its_own_kind_and_says_so(
    tmp_path: Path, name: str, rows: list[Row]
) -> None:
    path = tmp_path / name
    assert not take(path)
    write_table(str(path), rows, NAMES)
    assert take(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "file,age,gender\n"),
        ("a.csv", "id,first_seen_s,last_seen_s\n"),
        ("a.csv", "\ufefffile,face\n"),
        ("a.json", '{"file": "a"}'),
        ("a.json", '[{"file": "a", "size": 3}]'),
        ("a.json", "not json"),
    ],
)
def test_a_file_of_somebody_else_is_no_table_to_replace(
    tmp_path: Path, name: str, text: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(SinkError, match="this program did not make it"):
        take(path)
    assert path.read_text() == text


def test_two_runs_do_not_write_one_table(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "faces.csv")
    with (
        sole_table(str(tmp_path / "faces.csv"), []),
        pytest.raises(SinkError, match="another run writes it"),
    ):
        take(tmp_path / "link.csv")
