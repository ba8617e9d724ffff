import csv
from pathlib import Path

import pytest

from errors import DatasetError
from training.labels import COLUMNS, Face, column_names, parse, read_table, write_table


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


GOOD = "file,age,gender\np0.png,20,female\np1.png,25,male\n"
READ = [Face("p0.png", (20, 20), True), Face("p1.png", (25, 25), False)]


@pytest.mark.parametrize(
    "text",
    [
        "File, Age ,GENDER\np0.png, 20, Female\np1.png,25 ,male\n",
        "file,age,sex\np0.png,20.0,F\np1.png,25,M\n",
        "file;age;gender\np0.png;20;1.0\np1.png;25;0.0\n",
        "file;age;gender\np0.png;20,0;1.0\np1.png;25,00;0.0\n",
        "file\tage\tgender\np0.png\t20\t1\np1.png\t25\t0\n",
        'file, age, gender\n"p0.png", "20", "female"\n\n,,\n"p1.png", "25", "male"\n',
        "file,age,gender,,\np0.png,20,woman,,\np1.png,25,man,,\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_are_read_as_spreadsheets_and_hands_make_them(
    text: str, encoding: str, tmp_path: Path
) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode(encoding))
    assert read_table(path) == READ


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "p2.png,30,f\np3.png,999,f\n", "line 5: .*0 to 120 years.*999"),
        (GOOD + "p2.png,1985,f\n", "line 4: .*1985"),
        (GOOD + 'p2.png,30,f\n"p3.png,35,f\np4.png,40,f\n', "line 5: a quote is not closed"),
        (GOOD + 'p2.png,30,f\n"p3.png,35,f\np4.png,"40",f\n', "line 5: a quote is not closed"),
        (GOOD + '"p2.png,30,f"\n', "line 4: .*quote is misplaced"),
        (GOOD + "p2.png,30,f,train\n", "line 4: want 3 columns, got 4"),
        (GOOD + "./p0.png,80,male\n", r"two rows for \./p0\.png"),
        ("file,age_max\np0.png,20\n", "line 1: age_max wants a column age_min"),
        ("file,age_min,age_max\np0.png,,20\n", "line 2: age_max 20 has no age_min"),
        ("file,Age,age\np0.png,2,2\n", "line 1: two columns are called age"),
        ("file,ages,gender\np0.png,2,f\n", "line 1: .*'ages' is not understood.*mean age"),
        ("file,age,age_min\np0.png,20,30\n", "line 2: want either age, or age_min"),
        ("file,age\np0.png,20-29\n", "line 2: want an age in years, got '20-29'"),
        ("file,age (years)\np0.png,2\n", "line 1: .*mean age"),
    ],
)
def test_what_would_be_misread_in_silence_is_one_line(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message) as error:
        read_table(path)
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(GOOD.encode("utf-16-le"))  # without its mark
    with pytest.raises(DatasetError, match="zero bytes"):
        read_table(path)


def test_columns_that_are_no_labels_are_left_alone() -> None:
    header = ["file", "age", "age_group", "photographer", "Sex"]
    assert column_names(header) == ["file", "age", "age_group", "photographer", "gender"]
