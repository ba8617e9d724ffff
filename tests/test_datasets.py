"""Readers on real originals where there are some, and on small sets in the published format."""

import csv
import datetime
import random
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from errors import DatasetError
from structures import ETHNICITIES
from training.datasets import DATASETS, read_dataset
from training.datasets.imdb_wiki import age_at

WHITE, BLACK, ASIAN, INDIAN, OTHERS = range(len(ETHNICITIES))


def touch(root: Path, *files: str) -> None:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write(path: Path, *lines: Iterable[object], sep: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(sep.join(map(str, line)) + "\n" for line in lines))


def labels(name: str, root: Path) -> Any:
    """File -> (age, female, ethnicity, person, split)."""
    faces = read_dataset(name, root).faces
    return {f.file: (f.age, f.female, f.ethnicity, f.person, f.split) for f in faces}


def test_utkface_names_tell_age_gender_and_ethnicity(tmp_path: Path) -> None:
    touch(tmp_path, "part2/1_1_3_20161219140623097.jpg", "part1/116_0_0_20170120134921760.jpg")
    assert labels("utkface", tmp_path) == {
        "part1/116_0_0_20170120134921760.jpg": ((116, 116), False, WHITE, "", ""),
        "part2/1_1_3_20161219140623097.jpg": ((1, 1), True, INDIAN, "", ""),
    }


def test_utkface_names_that_are_malformed_are_counted(tmp_path: Path) -> None:
    good = "24_1_4_20170116220224657.jpg.chip.jpg"
    bad = (
        "24_0_1_20170116220224657 .jpg.chip.jpg",
        "55_0_0_20170116232725357jpg.chip.jpg",
        "39_1_20170116174525125.jpg.chip.jpg",
        "53__0_20170116184028385.jpg.chip.jpg",
    )
    touch(tmp_path, good, *bad, "24_1_4_20170116220224657.jpg", ".DS_Store.jpg")
    reading = read_dataset("utkface", tmp_path)
    assert [(f.file, f.female, f.ethnicity) for f in reading.faces] == [(good, True, OTHERS)]
    # The dot that is missing before jpg makes it no chip; the others are.
    assert reading.dropped == Counter({"malformed name": 3})


@pytest.mark.data
def test_utkface_originals_are_read_as_their_prepared_table_says(data_dir: Path) -> None:
    known = {}
    with (data_dir / "faces" / "utkface.csv").open() as file:
        for row in csv.DictReader(file):
            known[row["file"].removesuffix(".webp")] = row
    faces = read_dataset("utkface", data_dir / "raw" / "utkface").faces
    assert len(faces) == 120
    rows = [(face, known.get(face.file.removesuffix(".jpg.chip.jpg"))) for face in faces]
    checked = [(face, row) for face, row in rows if row is not None]
    assert len(checked) > 60
    for face, row in checked:
        assert face.age == (int(row["age"]), int(row["age"]))
        assert (face.female, face.ethnicity) == (row["gender"] == "1", int(row["race"]))


@pytest.mark.data
def test_fairface_originals_are_read_with_ranges_and_the_published_splits(data_dir: Path) -> None:
    found = labels("fairface", data_dir / "raw" / "fairface")
    assert len(found) == 120
    assert found["train/1.jpg"] == ((50, 59), False, ASIAN, "", "train")
    assert found["train/2.jpg"] == ((30, 39), True, INDIAN, "", "train")
    assert found["val/6.jpg"] == ((30, 39), False, OTHERS, "", "test")
    assert found["val/11.jpg"] == ((70, 100), True, ASIAN, "", "test")


@pytest.mark.data
def test_fgnet_originals_are_read_with_person_and_age(data_dir: Path) -> None:
    found = labels("fgnet", data_dir / "raw" / "fgnet")
    assert len(found) == 311
    assert found["images/001A43b.JPG"] == ((43, 43), None, None, "001", "test")
    assert len({person for *_, person, _ in found.values()}) == 25


def fairface(root: Path, *train: tuple[str, ...]) -> None:
    columns = ("file", "age", "gender", "race", "service_test")
    write(root / "fairface_label_train.csv", columns, *train)
    write(root / "fairface_label_val.csv", columns, ("val/1.jpg", "3-9", "Male", "White", "True"))


def test_fairface_names_its_genders(tmp_path: Path) -> None:
    fairface(
        tmp_path,
        ("train/1.jpg", "0-2", "Female", "Latino_Hispanic", "False"),
        ("train/2.jpg", "more than 70", "Male", "Middle Eastern", "False"),
    )
    assert labels("fairface", tmp_path) == {
        "train/1.jpg": ((0, 2), True, OTHERS, "", "train"),
        "train/2.jpg": ((70, 100), False, OTHERS, "", "train"),
        "val/1.jpg": ((3, 9), False, WHITE, "", "test"),
    }


@pytest.mark.parametrize(
    "row",
    [
        ("train/7.jpg", "20", "Male", "White", "True"),
        ("train/7.jpg", "29-20", "Male", "White", "True"),
        ("train/7.jpg", "20-29", "Other", "White", "True"),
        ("train/7.jpg", "20-29", "Male", "Martian", "True"),
        ("train/7.jpg", "20-2"),
    ],
)
def test_a_wrong_or_broken_off_row_is_named_with_its_line(
    tmp_path: Path, row: tuple[str, ...]
) -> None:
    fairface(tmp_path, ("train/6.jpg", "20-29", "Male", "White", "True"), row)
    with pytest.raises(DatasetError, match=r"fairface_label_train\.csv, line 3: "):
        read_dataset("fairface", tmp_path)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"fairface_label_train\.csv: No such file"):
        read_dataset("fairface", tmp_path)


def serial(year: int, month: int, day: int) -> int:
    """MATLAB's datenum of a date: 1 January 2000 is day 730486."""
    since = datetime.date(year, month, day) - datetime.date(2000, 1, 1)
    return 730486 + since.days


def cells(*texts: object) -> np.ndarray:
    """A row of MATLAB cells with a text each."""
    out = np.empty((1, len(texts)), object)
    out[0, :] = texts
    return out


def wiki(path: Path, rows: Any, key: str = "wiki") -> None:
    """Write a struct as published; rows of dob, taken, file, gender, name, score, second score."""
    dob, taken, files, gender, names, score, second = zip(*rows, strict=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    struct = {
        "dob": np.array([dob], np.int32),
        "photo_taken": np.array([taken], np.uint16),
        "full_path": cells(*files),
        "gender": np.array([gender], float),
        "name": cells(*names),
        "face_location": cells(*[np.array([[1.0, 1, 100, 100]])] * len(rows)),
        "face_score": np.array([score], float),
        "second_face_score": np.array([second], float),
    }
    savemat(path, {key: struct})


def test_imdb_wiki_zero_is_female_and_the_cleaning_rules_apply(tmp_path: Path) -> None:
    nan, inf = float("nan"), float("inf")
    woman, man = serial(1960, 7, 1), serial(1960, 7, 2)
    wiki(
        tmp_path / "wiki_crop" / "wiki.mat",
        [
            (woman, 2000, "00/1.jpg", 0, "Ada L", 4.2, nan),
            (man, 2000, "01/2.jpg", 1, "Bob", 1.0, nan),
            (man, 2000, "01/3.jpg", 1, "Bob", -inf, nan),
            (man, 2000, "01/4.jpg", 1, "Bob", 3.0, 2.5),
            (man, 2000, "01/5.jpg", nan, "Bob", 3.0, nan),
            (man, 1950, "01/6.jpg", 1, "Bob", 3.0, nan),
            (serial(1890, 1, 1), 2000, "01/7.jpg", 1, "Old", 3.0, nan),
            (0, 2000, "01/8.jpg", 1, "Nobody", 3.0, nan),
        ],
    )
    wiki(
        tmp_path / "imdb_crop" / "imdb.mat",
        [(man, 1970, "02/9.jpg", 0, [], 3.0, nan), (man, 1960, "02/10.jpg", 1, "B", 1.0, nan)],
        "imdb",
    )
    assert labels("imdb_wiki", tmp_path) == {
        "imdb_crop/02/9.jpg": ((9, 9), True, None, "", ""),
        "wiki_crop/00/1.jpg": ((40, 40), True, None, "Ada L", ""),
        "wiki_crop/01/2.jpg": ((39, 39), False, None, "Bob", ""),
    }
    assert read_dataset("imdb_wiki", tmp_path).dropped == {
        "no face found by the authors": 1,
        "second face": 1,
        "gender missing": 1,
        "age outside 0..100": 3,
        "date missing": 1,
    }


def test_the_age_is_that_on_the_first_of_july() -> None:
    rng = random.Random(0)
    for _ in range(300):
        born = datetime.date(rng.randint(1900, 1990), rng.randint(1, 12), rng.randint(1, 28))
        taken = rng.randint(1991, 2020)
        birthdays = sum(
            datetime.date(year, born.month, born.day) <= datetime.date(taken, 7, 1)
            for year in range(born.year + 1, taken + 1)
        )
        assert age_at(taken, serial(born.year, born.month, born.day)) == birthdays


def test_a_damaged_matlab_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "wiki.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(DatasetError, match=r"wiki\.mat: .*again"):
        read_dataset("imdb_wiki", tmp_path)


ADIENCE: tuple[str, ...] = (
    "user_id",
    "original_image",
    "face_id",
    "age",
    "gender",
    "x",
    "y",
    "dx",
    "dy",
)
ADIENCE += ("tilt_ang", "fiducial_yaw_angle", "fiducial_score")
REST = (0, 414, 1086, 1383, -115, 30, 17)


def adience(root: Path, *rows: tuple[int | str, ...]) -> None:
    for fold in range(5):
        mine = [row[1:] + REST for row in rows if row[0] == fold]
        write(root / f"fold_{fold}_data.txt", ADIENCE, *mine, sep="\t")


def test_adience_ages_are_ranges_numbers_or_none(tmp_path: Path) -> None:
    adience(
        tmp_path,
        (0, "30601258@N03", "10399646885_o.jpg", 1, "(25, 32)", "f"),
        (0, "30601258@N03", "10399646886_o.jpg", 2, "35", "m"),
        (1, "7285955@N06", "9523333835_o.jpg", 2190, "(0, 2)", "u"),
        (4, "7285955@N07", "1_o.jpg", 3, "None", "m"),
        (4, "7285955@N07", "2_o.jpg", 3, "None", "u"),
    )
    touch(tmp_path, "faces/30601258@N03/coarse_tilt_aligned_face.1.10399646885_o.jpg")
    place = "coarse_tilt_aligned_face"
    assert labels("adience", tmp_path) == {
        f"faces/30601258@N03/{place}.1.10399646885_o.jpg": (
            (25, 32), True, None, "30601258@N03/1", "fold0",
        ),
        f"faces/30601258@N03/{place}.2.10399646886_o.jpg": (
            (35, 35), False, None, "30601258@N03/2", "fold0",
        ),
        f"faces/7285955@N06/{place}.2190.9523333835_o.jpg": (
            (0, 2), None, None, "7285955@N06/2190", "fold1",
        ),
        f"faces/7285955@N07/{place}.3.1_o.jpg": (None, False, None, "7285955@N07/3", "fold4"),
    }  # fmt: skip
    assert read_dataset("adience", tmp_path).dropped == {"neither age nor gender": 1}


def test_adience_aligned_pictures_are_preferred(tmp_path: Path) -> None:
    adience(tmp_path, (2, "u@N0", "a.jpg", 5, "(4, 6)", "m"))
    touch(tmp_path, "faces/u@N0/coarse_tilt_aligned_face.5.a.jpg")
    touch(tmp_path, "aligned/u@N0/landmark_aligned_face.5.a.jpg")
    assert list(labels("adience", tmp_path)) == ["aligned/u@N0/landmark_aligned_face.5.a.jpg"]


def test_adience_wrong_labels_are_named(tmp_path: Path) -> None:
    adience(tmp_path, (3, "u@N0", "a.jpg", 5, "(4, 6)", "x"))
    with pytest.raises(DatasetError, match=r"fold_3_data\.txt, line 2: .*'x'"):
        read_dataset("adience", tmp_path)


def lfw(root: Path, *people: str) -> None:
    touch(root, *(f"lfw/{p}/{p}_{n:04d}.jpg" for p in people for n in (1, 2)))


def test_lfw_genders_come_from_the_lists(tmp_path: Path) -> None:
    lfw(tmp_path, "Ann_Veneman", "Aaron_Eckhart", "Nobody_Known", "Both_Ways")
    (tmp_path / "female_names.txt").write_text("Ann_Veneman_0001.jpg\nBoth_Ways\n\n")
    (tmp_path / "male_names.txt").write_text("Aaron Eckhart\t1\nBoth_Ways_0001.jpg\n")
    assert labels("lfw", tmp_path) == {
        "lfw/Aaron_Eckhart/Aaron_Eckhart_0001.jpg": (None, False, None, "Aaron_Eckhart", "test"),
        "lfw/Aaron_Eckhart/Aaron_Eckhart_0002.jpg": (None, False, None, "Aaron_Eckhart", "test"),
        "lfw/Ann_Veneman/Ann_Veneman_0001.jpg": (None, True, None, "Ann_Veneman", "test"),
        "lfw/Ann_Veneman/Ann_Veneman_0002.jpg": (None, True, None, "Ann_Veneman", "test"),
    }
    assert read_dataset("lfw", tmp_path).dropped == {"on no list": 2, "on both lists": 2}


def test_lfw_without_a_list_says_which(tmp_path: Path) -> None:
    lfw(tmp_path, "Ann_Veneman")
    (tmp_path / "lfw_female.txt").write_text("Ann_Veneman\n")
    with pytest.raises(DatasetError, match="no list of male names"):
        read_dataset("lfw", tmp_path)


def test_appa_real_has_a_real_and_an_apparent_age(tmp_path: Path) -> None:
    columns = ("file_name", "num_ratings", "apparent_age_avg", "apparent_age_std", "real_age")
    rows = {
        "train": ("000000.jpg", 36, 5.05556, 0.826, 4),
        "valid": ("004113.jpg", 38, 25.15, 3.1, 27),
        "test": ("005613.jpg", 40, 60.5, 4.4, 58),
    }
    for part, row in rows.items():
        write(tmp_path / f"gt_avg_{part}.csv", columns, row)
        touch(tmp_path, f"{part}/{row[0]}")
    touch(tmp_path, "train/000000.jpg_face.jpg")
    assert labels("appa_real", tmp_path) == {
        "train/000000.jpg_face.jpg": ((4, 4), None, None, "", "train"),
        "valid/004113.jpg": ((27, 27), None, None, "", "val"),
        "test/005613.jpg": ((58, 58), None, None, "", "test"),
    }
    apparent = labels("appa_real_apparent", tmp_path)
    assert apparent["train/000000.jpg_face.jpg"][0] == (5.05556, 5.05556)


LAGENDA = ("img_name", "age", "gender", "face_x0", "face_y0", "face_x1", "face_y1", "person_x0")


def test_lagenda_has_several_faces_per_photograph_and_its_own_letters_for_gender(
    tmp_path: Path,
) -> None:
    write(
        tmp_path / "lagenda_annotation.csv",
        LAGENDA,
        ("images/a.jpg", 83, "F", 10, 20, 50, 80, 1),
        ("images/a.jpg", 4, "M", 100, 20, 120, 44, -1),
        ("images/a.jpg", -1, -1, 200, 20, 220, 44, 1),
        ("images/b.jpg", 30, "M", -1, -1, -1, -1, 1),
        ("images/b.jpg", -1, "F", 5, 5, 9, 9, 1),
    )
    reading = read_dataset("lagenda", tmp_path)
    assert [(f.file, f.age, f.female, f.group, f.box) for f in reading.faces] == [
        ("images/a.jpg", (83, 83), True, "images/a.jpg", (10, 20, 50, 80)),
        ("images/a.jpg", (4, 4), False, "images/a.jpg", (100, 20, 120, 44)),
        ("images/b.jpg", None, True, "images/b.jpg", (5, 5, 9, 9)),
    ]
    assert reading.dropped == Counter({"neither age nor gender": 1, "no face box": 1})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a.jpg", 30, "X", 1, 1, 2, 2, 1), r"line 2: want a gender out of M, F, -1, got 'X'"),
        (("a.jpg", 30, "F", 9, 1, 2, 2, 1), r"line 2: want x0 < x1 and y0 < y1 of the face's box"),
        (("a.jpg", "old", "F", 1, 1, 2, 2, 1), r"line 2: want an age in years, got 'old'"),
    ],
)
def test_bad_rows_of_lagenda_are_reported_with_their_line(
    tmp_path: Path, row: tuple[object, ...], message: str
) -> None:
    write(tmp_path / "lagenda_annotation.csv", LAGENDA, row)
    with pytest.raises(DatasetError, match=message):
        read_dataset("lagenda", tmp_path)


def test_an_unknown_set_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"'celeba'; known: {', '.join(DATASETS)}"):
        read_dataset("celeba", tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_folder_and_none_at_all_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as told:
        read_dataset(name, tmp_path)
    assert str(tmp_path) in str(told.value) and "\n" not in str(told.value)
    shutil.rmtree(tmp_path)
    with pytest.raises(DatasetError, match="no folder"):
        read_dataset(name, tmp_path)
