import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import predict

PORTRAITS = Path(__file__).resolve().parent.parent / "samples" / "portraits"


def run_main(*arguments: str) -> int:
    try:
        return predict.main(list(arguments))
    except SystemExit as end:
        return int(end.code)


@pytest.fixture
def photographs(tmp_path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for path in PORTRAITS.iterdir():
        picture = cv2.imread(str(path))
        scale = 480 / picture.shape[0]
        cv2.imwrite(str(folder / f"{path.stem}.jpg"), cv2.resize(picture, None, fx=scale, fy=scale))
    cv2.imwrite(str(folder / "wall.png"), np.full((200, 300, 3), 120, np.uint8))
    return folder


def test_a_folder_becomes_a_table_and_annotated_pictures(photographs, tmp_path, capsys):
    table, pictures = tmp_path / "faces.csv", tmp_path / "annotated"
    outputs = ["--table", str(table), "--pictures", str(pictures)]
    assert run_main(str(photographs), *outputs) == 0
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert sorted(Path(row["file"]).stem for row in rows) == [
        "barack_obama_2012", "eileen_collins", "joe_biden",
    ]  # fmt: skip
    genders = {Path(row["file"]).stem: row["gender"] for row in rows}
    assert genders["eileen_collins"] == "female"
    assert genders["barack_obama_2012"] == genders["joe_biden"] == "male"
    for path in photographs.iterdir():
        annotated, original = (cv2.imread(str(f / path.name)) for f in (pictures, photographs))
        changed = (cv2.absdiff(annotated, original) > 40).any()
        assert changed == (path.stem != "wall")
    assert "3 faces in 4 pictures, 1 without a face" in capsys.readouterr().err


def test_json_and_ethnicity_on_request(photographs, tmp_path):
    table = tmp_path / "faces.json"
    picture = str(photographs / "joe_biden.jpg")
    assert run_main(picture, "--table", str(table), "--attributes", "age,gender,ethnicity") == 0
    (row,) = json.loads(table.read_text())
    shares = [value for name, value in row.items() if name.endswith("_prob")]
    assert sum(shares[1:]) == pytest.approx(1, abs=0.01)
    assert row["x1"] < row["x2"]


def test_without_a_table_file_the_table_goes_to_standard_output(photographs, capsys):
    assert run_main(str(photographs / "wall.png"), str(photographs / "joe_biden.jpg")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("file,face,x1")
    assert len(lines) == 2


def test_a_damaged_picture_is_left_out_and_named(photographs, capsys):
    (photographs / "broken.jpg").write_text("no picture")
    assert run_main(str(photographs)) == 0
    assert "broken.jpg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.jpg"], "nowhere.jpg"),
        (["{tmp}/empty"], "empty"),
        (["{tmp}/text.jpg"], "text.jpg"),
        (["{tmp}/photo.jpg", "--table", "{tmp}/faces.txt"], ".csv"),
        (["{tmp}/photo.jpg", "--table", "{tmp}/nowhere/faces.csv"], "nowhere"),
        (["{tmp}/photo.jpg", "--pictures", "{tmp}"], "originals"),
        (["{tmp}/photo.jpg", "--estimator", "resnet"], "mobilenetv2"),
    ],
)
def test_bad_input_gives_one_line_and_exit_code_2(arguments, words, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.jpg").write_text("no picture")
    shutil.copy(PORTRAITS / "joe_biden.jpg", tmp_path / "photo.jpg")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert run_main(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
