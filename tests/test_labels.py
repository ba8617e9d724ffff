import csv
from pathlib import Path

import pytest

from errors import DatasetError
from training.labels import COLUMNS, Face, parse, read_table, write_table


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    faces = [
        Face("a/1.jpg", (23, 23), True, 2, "p1", "p1", "train"),
        Face("b,2.jpg", (70, 100), False, 4, split="test"),
        Face("3.jpg"),
    ]
    write_table(tmp_path / "set.csv", faces)
    assert read_table(tmp_path / "set.csv") == faces
    with (tmp_path / "set.csv").open(newline="") as file:
        assert next(csv.reader(file)) == list(COLUMNS)
    assert [path.name for path in tmp_path.iterdir()] == ["set.csv"]


def test_the_published_tables_are_read_with_their_polarity() -> None:
    utkface = parse({"file": "a", "age": "34", "gender": "1", "race": "3", "split": "test"})
    assert utkface == Face("a", (34, 34), True, 3, split="test")
    fairface = {"file": "b", "age_min": "70", "age_max": "", "gender": "Male"}
    assert parse(fairface | {"race": "Southeast Asian"}) == Face("b", (70, 100), False, 2)


@pytest.mark.parametrize(
    ("column", "text"),
    [("age", "old"), ("age", "-3"), ("age", "nan"), ("gender", "2"), ("ethnicity", "5")],
)
def test_a_wrong_label_is_named_with_its_line(tmp_path: Path, column: str, text: str) -> None:
    path = tmp_path / "set.csv"
    path.write_text(f"file,{column}\nfirst.jpg,\nsecond.jpg,{text}\n")
    with pytest.raises(DatasetError, match=rf"set\.csv, line 3: .*{text}"):
        read_table(path)


def test_a_table_without_files_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text("name,age\nx,3\n")
    with pytest.raises(DatasetError, match="no column file"):
        read_table(path)
