import csv
import tracemalloc
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

import predict
from errors import SourceError
from estimators.facenet import FaceNetHeads
from program.face_tables import estimate_features, read_features, restore_length
from tests import facenets

pytest.importorskip("onnx")
WIDTH = facenets.WIDTH


def write_csv(path: Path, rows: Iterable[Sequence[object]], header: str | None = None) -> Path:
    lines = [] if header is None else [header]
    lines += [",".join(str(value) for value in row) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def numbers(count: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, WIDTH)).astype(np.float32)


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (None, False),
        (None, True),
        ("file,a,b,c,d,e,f", True),
        (",0,1,2,3,4,5", True),
        ("0,1,2,3,4,5", False),
        ("a,b,c,d,e,f", False),
    ],
)
def test_embeddings_are_read_with_and_without_header_and_names(
    header: str | None, names: bool, tmp_path: Path
) -> None:
    values = numbers(3)
    rows = [[*([f"face {i}"] * names), *row] for i, row in enumerate(values)]
    found_names, found = read_features(write_csv(tmp_path / "f.csv", rows, header), WIDTH)
    np.testing.assert_allclose(found, values, rtol=1e-6)
    assert found_names == ([f"face {i}" for i in range(3)] if names else ["", "", ""])


def test_a_column_of_numbers_in_front_is_taken_for_names(tmp_path: Path) -> None:
    rows = [[i, *row] for i, row in enumerate(numbers(2))]
    assert read_features(write_csv(tmp_path / "f.csv", rows), WIDTH)[0] == ["0", "1"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,3,4,5", "line 3: want 6 numbers, got 5"),
        ("1,2,3,4,5,6,7", "line 3: want 6 numbers, got 7"),
        ("1,2,nan,4,5,6", "line 3: number 3 is nan"),
        ("1,2,3,4,5,-inf", "line 3: number 6 is -inf"),
        ("1,2,three,4,5,6", "line 3: could not convert string to float: 'three'"),
    ],
)
def test_a_bad_row_is_named(line: str, message: str, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "f.csv", [*numbers(2), line.split(",")])
    with pytest.raises(SourceError, match=message):
        read_features(path, WIDTH)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize(
    ("between", "point"),
    [(",", "."), (", ", "."), (";", "."), (";", ","), ("\t", ","), ("  ", ".")],
)
def test_any_separator_is_read(
    between: str, point: str, names: bool, header: bool, tmp_path: Path
) -> None:
    values = numbers(3)
    lines = [
        between.join([*[f"{i}.jpg"] * names, *(f"{x:.7g}".replace(".", point) for x in row)])
        for i, row in enumerate(values)
    ]
    title = between.join([*["file"] * names, *(f"e{i}" for i in range(WIDTH))])
    path = tmp_path / "f.csv"
    path.write_text("\n".join([title] * header + lines) + "\n")
    found_names, found = read_features(path, WIDTH)
    np.testing.assert_allclose(found, values, rtol=1e-6)
    assert found_names == (["0.jpg", "1.jpg", "2.jpg"] if names else ["", "", ""])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_table_may_come_from_a_spreadsheet(encoding: str, tmp_path: Path) -> None:
    values = numbers(2)
    path = write_csv(tmp_path / "f.csv", [["ü.jpg", *row] for row in values])
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    names, found = read_features(path, WIDTH)
    assert names == ["ü.jpg"] * 2
    np.testing.assert_allclose(found, values, rtol=1e-6)


@pytest.mark.parametrize("blank", ["", "n/a", "None"])
@pytest.mark.parametrize("line", [1, 2])
def test_a_face_without_numbers_is_no_header(blank: str, line: int, tmp_path: Path) -> None:
    rows: list[list[object]] = [["b", *numbers(2)[0]], ["c", *numbers(2)[1]]]
    rows.insert(line - 1, ["a", *[blank] * WIDTH])
    with pytest.raises(SourceError, match=f"line {line}: could not convert"):
        read_features(write_csv(tmp_path / "f.csv", rows), WIDTH)


@pytest.mark.slow
def test_a_row_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(("0.123456," * 511 + "0.5\n") * 1000)
    tracemalloc.start()
    read_features(path, 512)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / 1000 < 3000  # bytes; 29,000 as lists of numbers


def test_the_unit_length_is_restored() -> None:
    values = numbers(4)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    wrong = values * np.array([[1], [10], [0.1], [1.0001]], np.float32)
    assert restore_length(wrong, "f.csv") == 2
    np.testing.assert_allclose(wrong, values, rtol=2e-4)
    wrong[1] = 0
    with pytest.raises(SourceError, match=r"f\.csv, face 2: the embedding is all zeros"):
        restore_length(wrong, "f.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "holds no embeddings"), (b"\xff\xfe\x00", "cannot be read"), (None, "No such file")],
)
def test_a_file_of_something_else_is_refused(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "f.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read_features(path, WIDTH)


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    return facenets.write_heads(tmp_path / "heads.onnx", "embedding", WIDTH)


def test_predict_writes_a_table_of_what_the_heads_tell(
    heads: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = numbers(3)
    source = write_csv(tmp_path / "f.csv", [[f"{i}.jpg", *row] for i, row in enumerate(values)])
    table = tmp_path / "out.csv"
    arguments = ["--features", str(source), "--weights", str(heads), "--table", str(table)]
    assert predict.main([*arguments, "--attributes", "age,gender,ethnicity"]) == 0
    assert "3 faces in" in capsys.readouterr().err
    rows = list(csv.DictReader(table.read_text().splitlines()))
    told = FaceNetHeads(heads)(values)
    assert [row["file"] for row in rows] == ["0.jpg", "1.jpg", "2.jpg"]
    assert "x1" not in rows[0]
    ages = told["age"] @ np.arange(101)
    np.testing.assert_allclose([float(row["age_years"]) for row in rows], ages, atol=0.06)
    np.testing.assert_allclose(
        [float(row["female_prob"]) for row in rows], told["gender"][:, 1], atol=6e-4
    )
    assert all(float(row["asian_prob"]) >= 0 for row in rows)


def test_many_faces_are_told_in_pieces_as_if_at_once(
    heads: Path,
) -> None:
    values, network = numbers(7), FaceNetHeads(heads)
    whole = estimate_features(values, network, 1.0)
    pieces = estimate_features(values, network, 1.0, batch=3)
    np.testing.assert_allclose(pieces.age_years, whole.age_years, rtol=1e-5)


def test_a_bad_row_ends_the_program_with_one_line_and_no_table(
    heads: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_csv(tmp_path / "f.csv", [[1, 2, 3]])
    table = tmp_path / "out.csv"
    arguments = ["--features", str(source), "--weights", str(heads), "--table", str(table)]
    assert predict.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "line 1: want 6 numbers, got 3" in error
    assert not table.exists()


@pytest.mark.parametrize(
    "arguments", [[], ["a.jpg", "--features", "f.csv"], ["--features", "f.csv", "--pictures", "p"]]
)
def test_pictures_and_features_exclude_each_other(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        predict.main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
