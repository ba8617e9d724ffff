"""From a published set to chips with a table: the program as a whole, and the cutting."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import defaultdict
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest

from detectors.dlib_hog import LANDMARK_TEMPLATE, _predictor_file
from detectors.mtcnn_cascade import LANDMARK_TEMPLATE as MTCNN_TEMPLATE
from errors import DatasetError
from estimators.crops import align
from sources.photographs import load_picture
from tests.fakes import ScriptedDetector
from tests.scenes import changed, scene
from training.chips import load_chips
from training.labels import Box, read_table
from training.prepare import main, parse_arguments, settings_of
from training.preparing.chip_archive import ChipArchive
from training.preparing.cutting import (
    DAMAGED,
    NO_FACE,
    NOT_IN_BOX,
    SEVERAL,
    Cut,
    Cutter,
    cut_all,
    is_whole,
    with_margin,
)
from training.preparing.steps import chip_names, plan

ROOT = Path(__file__).resolve().parent.parent
PORTRAITS = ROOT / "samples" / "portraits"


def decoded(data: bytes) -> np.ndarray:
    """The image (H, W, 3) uint8 BGR in a file's bytes."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def utkface(root: Path, count: int = 40, twins: int = 6) -> Path:
    """Aligned chips of random labels; the last ones are changed copies of the first ones."""
    rng = np.random.default_rng(0)
    root.mkdir()
    pictures = [scene(seed, 200) for seed in range(count - twins)]
    pictures += [changed(picture) for picture in pictures[:twins]]
    for i, picture in enumerate(pictures):
        age, gender, race = rng.integers(1, 90), rng.integers(2), rng.integers(5)
        path = root / f"{age}_{gender}_{race}_2017{i:04d}.jpg.chip.jpg"
        assert cv2.imwrite(str(path), picture)
    return root


def prepare(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def outputs(folder: Path, name: str = "utkface") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob(f"{name}.*")}


def test_a_prepared_set_is_read_as_it_was_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = utkface(tmp_path / "raw")
    assert prepare("UTKFace", "--root", root, "--out", tmp_path / "out", "--aligned") == 0
    told = capsys.readouterr().out
    assert told.startswith("utkface: 40 faces kept (") and len(told.splitlines()) == 1
    assert "12 are near twins in 6 groups" in told
    assert set(outputs(tmp_path / "out")) == {
        f"utkface.{kind}" for kind in ("csv", "tar", "json", "png", "progress.jsonl")
    }
    train, test = (load_chips(tmp_path / "out", "utkface", split) for split in ("train", "test"))
    assert len(train) + len(test) == 40 and 7 <= len(test) <= 9
    assert not set(train.groups) & set(test.groups)
    for i, file in enumerate(train.files):
        original = np.asarray(cv2.imread(str(root / f"{file.removesuffix('.webp')}.jpg.chip.jpg")))
        small = cv2.resize(original, (112, 112), interpolation=cv2.INTER_AREA)
        assert np.abs(small[..., ::-1].astype(int) - train.images[i]).mean() < 6
        assert file.split("_")[:2] == [f"{train.age_low[i]:g}", f"{train.female[i]:g}"]


def test_the_record_tells_what_was_done(tmp_path: Path) -> None:
    root = utkface(tmp_path / "raw")
    (root / "23_1_20170104.jpg.chip.jpg").touch()
    (root / "23_1_1_20170104.jpg.chip.jpg").write_bytes(b"not a picture")
    assert prepare("utkface", "--root", root, "--out", tmp_path / "out", "--aligned") == 0
    record = json.loads((tmp_path / "out" / "utkface.json").read_text())
    assert record["faces"] == sum(record["splits"].values()) == 40
    assert record["dropped"] == {"malformed name": 1, DAMAGED: 1}
    assert record["pictures_left_out"] == {DAMAGED: ["23_1_1_20170104.jpg.chip.jpg"]}
    assert record["twins"]["pairs"] == 6
    assert {"numpy", "opencv-python", "python"} <= set(record["versions"])
    assert record["settings"]["cut"]["size"] == 112 and record["settings"]["seed"] == 0
    assert sum(record["labels"]["gender"].values()) == 40
    assert str(tmp_path) not in json.dumps(record)


@pytest.mark.slow
def test_interrupted_and_gone_on_with_gives_the_same_bytes(tmp_path: Path) -> None:
    root, arguments = utkface(tmp_path / "raw"), ["--seed", "5", "--aligned"]
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    assert prepare("utkface", "--root", root, "--out", tmp_path / "whole", *arguments) == 0
    # What Ctrl-C after 17 pictures leaves behind, with half of the next one.
    options = parse_arguments(["utkface", "--root", str(root), "--out", "-", *arguments])
    settings = settings_of(options)
    todo, cutter = plan(settings, root), Cutter(settings.cut)
    made_from = todo.made_from(settings.cut)
    with ChipArchive(tmp_path / "broken", "utkface", made_from, replace=False) as archive:
        for face, chip in list(zip(todo.faces, todo.chips, strict=True))[:17]:
            archive.add(chip, cutter(root / face.file))
    with (tmp_path / "broken" / "utkface.tar.part").open("ab") as file:
        file.write(b"half a chip")
    assert prepare("utkface", "--root", root, "--out", tmp_path / "broken", *arguments) == 0
    assert outputs(tmp_path / "broken") == outputs(tmp_path / "whole")


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path) -> None:
    root = utkface(tmp_path / "raw", 140)
    for workers in (1, 2):
        out = tmp_path / str(workers)
        arguments = ("--root", root, "--out", out, "--aligned", "--workers", workers)
        assert prepare("utkface", *arguments) == 0
    assert outputs(tmp_path / "1") == outputs(tmp_path / "2")


def test_a_killed_worker_is_one_line(tmp_path: Path) -> None:
    root = utkface(tmp_path / "raw", 8, 0)
    outcomes = cut_all([(path, None) for path in root.iterdir()] * 60, Cut(aligned=True), workers=2)
    assert isinstance(next(outcomes), bytes)
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(DatasetError, match=r"a worker was killed.*fewer --workers"):
        list(outcomes)


def test_splits_are_drawn_anew_without_cutting_again(tmp_path: Path) -> None:
    root, out = utkface(tmp_path / "raw"), tmp_path / "out"
    arguments = ["utkface", "--root", root, "--out", out, "--aligned"]
    assert prepare(*arguments) == 0
    before = (out / "utkface.tar").stat()
    assert prepare(*arguments, "--test-share", "0.5", "--val-share", "0.25", "--seed", "1") == 0
    assert (out / "utkface.tar").stat().st_ino == before.st_ino
    faces = read_table(out / "utkface.csv")
    sides = defaultdict(set)
    for face in faces:
        sides[face.group or face.file].add(face.split)
    assert all(len(splits) == 1 for splits in sides.values())
    splits = [face.split for face in faces]
    assert abs(splits.count("test") - 20) <= 1 and abs(splits.count("val") - 10) <= 2


def test_other_settings_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = utkface(tmp_path / "raw"), tmp_path / "out"
    arguments = ["utkface", "--root", root, "--out", out, "--aligned"]
    assert prepare(*arguments) == 0
    before = outputs(out)
    assert prepare(*arguments, "--size", "64") == 2
    assert "with size 112, not 64" in capsys.readouterr().err
    assert outputs(out) == before
    assert prepare(*arguments, "--size", "64", "--replace") == 0
    assert load_chips(out, "utkface", "train").images.shape[1:] == (64, 64, 3)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["celeba"], "no reader for a set 'celeba'; known: utkface, fairface, "),
        (["utkface", "--root", "nowhere"], "no folder nowhere; check --root"),
        (["utkface", "--need", "wealth"], "want a list out of age, gender, ethnicity"),
        (["utkface", "--aligned", "--margin", "0.4"], "leave --margin out"),
        (["utkface", "--test-share", "0.8", "--val-share", "0.3"], "add up to more than 1"),
        (["utkface", "--margin", "-1"], "want a number from 0 to 4"),
    ],
)
def test_wrong_arguments_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    (tmp_path / "raw").mkdir()
    name, *others = arguments
    try:
        code = prepare(name, "--root", tmp_path / "raw", "--out", tmp_path / "out", *others)
    except SystemExit as end:
        code = int(end.code or 0)
    error = capsys.readouterr().err
    assert code == 2 and told in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def half_copied(root: Path, there: int, of: int) -> Path:
    lines = [f"train/{i}.jpg,20-29,Male,White,True" for i in range(of)]
    head = "file,age,gender,race,service_test"
    (root / "train").mkdir(parents=True)
    (root / "fairface_label_train.csv").write_text("\n".join([head, *lines]) + "\n")
    (root / "fairface_label_val.csv").write_text(head + "\n")
    for i in range(of - there, of):
        assert cv2.imwrite(str(root / "train" / f"{i}.jpg"), scene(i))
    return root


def test_a_half_copied_set_is_refused_and_a_few_missing_pictures_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = half_copied(tmp_path / "half", there=4, of=10)
    assert prepare("fairface", "--root", root, "--out", tmp_path / "out", "--aligned") == 2
    error = capsys.readouterr().err
    assert "6 of 10 images are missing" in error and "train/0.jpg" in error
    root = half_copied(tmp_path / "most", there=8, of=10)
    assert prepare("fairface", "--root", root, "--out", tmp_path / "out", "--aligned") == 0
    assert "2 left out (missing picture 2)" in capsys.readouterr().out


def test_faces_without_the_labels_needed_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "fgnet"
    root.mkdir()
    assert cv2.imwrite(str(root / "001A02.JPG"), scene(0))
    arguments = ["fgnet", "--root", root, "--out", tmp_path / "out", "--aligned"]
    assert prepare(*arguments, "--need", "age,gender") == 2
    assert "no face of fgnet has all of age, gender" in capsys.readouterr().err
    assert prepare(*arguments, "--need", "age") == 0


def lfw(root: Path) -> Path:
    """Portraits, and pictures of which no chip is to be made, as LFW is laid out."""
    paths = sorted(PORTRAITS.glob("*.*"))
    pictures = {path.stem: decoded(path.read_bytes()) for path in paths}
    small = {name: cv2.resize(p, (400, 500)) for name, p in pictures.items()}
    small["two_people"] = np.concatenate([small["barack_obama_2012"], small["joe_biden"]], 1)
    small["no_body"] = np.full((400, 400, 3), 90, np.uint8)
    for name, picture in small.items():
        (root / name).mkdir(parents=True)
        assert cv2.imwrite(str(root / name / f"{name}_0001.jpg"), picture)
    whole = (root / "joe_biden" / "joe_biden_0001.jpg").read_bytes()
    (root / "joe_biden" / "joe_biden_0002.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "female_names.txt").write_text("eileen_collins\nno_body\n")
    (root / "male_names.txt").write_text("barack_obama_2012\njoe_biden\ntwo_people\n")
    return root


def test_photographs_become_upright_chips_and_others_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = lfw(tmp_path / "lfw"), tmp_path / "out"
    assert prepare("lfw", "--root", root, "--out", out, "--workers", "1") == 0
    told = capsys.readouterr().out
    for reason in (NO_FACE, SEVERAL, DAMAGED):
        assert f"{reason} 1" in told
    chips = load_chips(out, "lfw", "test")
    assert dict(zip(chips.files, chips.female, strict=True)) == {
        "barack_obama_2012/barack_obama_2012_0001.webp": 0,
        "eileen_collins/eileen_collins_0001.webp": 1,
        "joe_biden/joe_biden_0001.webp": 0,
    }
    assert set(chips.groups) == {"lfw/barack_obama_2012", "lfw/eileen_collins", "lfw/joe_biden"}
    predict = dlib.shape_predictor(str(_predictor_file()))
    for chip in chips.images:
        points = predict(np.ascontiguousarray(chip), dlib.rectangle(10, 15, 100, 105)).parts()
        found = np.array([(p.x, p.y) for p in points]) / 112
        np.testing.assert_allclose(found, LANDMARK_TEMPLATE, atol=0.06)
    assert prepare("lfw", "--root", root, "--out", tmp_path / "2", "--several", "largest") == 0
    assert "several" not in capsys.readouterr().out


def test_no_chip_at_all_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = utkface(tmp_path / "raw", 3, 0)
    assert prepare("utkface", "--root", root, "--out", tmp_path / "out", "--workers", "1") == 2
    assert "none of 3 images yielded a chip: 3 no face" in capsys.readouterr().err
    assert not (tmp_path / "out" / "utkface.csv").exists()


TWO = [[10, 10, 60, 60], [70, 10, 130, 70]]


@pytest.mark.parametrize(
    ("boxes", "several", "meant", "outcome"),
    [
        ([], "refuse", None, NO_FACE),
        (TWO, "refuse", None, SEVERAL),
        (TWO, "largest", None, [70, 10, 130, 70]),
        ([[10, 10, 60, 60]], "refuse", None, [10, 10, 60, 60]),
        (TWO, "refuse", (8, 15, 58, 66), [10, 10, 60, 60]),
        (TWO, "largest", (70, 80, 130, 140), NOT_IN_BOX),
        ([], "refuse", (8, 15, 58, 66), NO_FACE),
    ],
)
def test_one_face_and_no_more_makes_a_chip(
    tmp_path: Path,
    boxes: list[list[int]],
    several: str,
    meant: Box | None,
    outcome: str | list[int],
) -> None:
    picture = scene(0, 150)
    assert cv2.imwrite(str(tmp_path / "a.png"), picture)
    found = Cutter(Cut(several=several), ScriptedDetector([boxes]))(tmp_path / "a.png", meant)
    if isinstance(outcome, str):
        assert found == outcome
        return
    points = ScriptedDetector([[outcome]]).detect(picture).landmarks
    assert points is not None and isinstance(found, bytes)
    expected = align(picture, points, ScriptedDetector.landmark_template, 112)[0]
    chip = decoded(found)[..., ::-1]
    assert np.abs(chip.astype(int) - expected).mean() < 5


def test_the_margin_is_that_of_dlibs_get_face_chip() -> None:
    portrait = decoded((PORTRAITS / "joe_biden.jpg").read_bytes())
    picture = cv2.cvtColor(portrait, cv2.COLOR_BGR2RGB)
    find = dlib.get_frontal_face_detector()
    predict = dlib.shape_predictor(str(_predictor_file()))
    shape = predict(picture, find(picture)[0])
    for margin in (0.25, 0.4, 1, 1.5):
        # The face that dlib cut out, looked at again: its points must lie on the template.
        chip = dlib.get_face_chip(picture, shape, size=500, padding=margin)
        points = predict(chip, find(chip)[0]).parts()
        found = np.array([(p.x, p.y) for p in points]) / 500
        np.testing.assert_allclose(found, with_margin(LANDMARK_TEMPLATE, margin), atol=0.02)
    np.testing.assert_allclose(with_margin(MTCNN_TEMPLATE, 0.25), MTCNN_TEMPLATE, atol=1e-6)


def test_a_jpeg_that_breaks_off_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    assert cv2.imwrite(str(path), scene(0))
    data = path.read_bytes()
    preview = b"\xff\xe1\x00\x10preview \xff\xda \xff\xd9"
    for content, whole in [
        (data, True),
        (data + b"\0\0trailer", True),
        (data[:2] + preview + data[2:], True),
        (data[:2] + preview + data[2:-500], False),
        (data[:-2], False),
        (data[: len(data) // 2], False),
        (b"", False),
    ]:
        path.write_bytes(content)
        assert is_whole(path) == whole
    assert not is_whole(tmp_path / "none.jpg")


def test_names_of_chips_are_short_and_never_the_same() -> None:
    files = ["a/1.jpg.chip.jpg", "a/2.JPG", "b/1.jpg", "b/1.png", "v1.2/x.y.jpg"]
    assert chip_names(files) == [
        "a/1.webp", "a/2.webp", "b/1.jpg.webp", "b/1.png.webp", "v1.2/x.y.webp",
    ]  # fmt: skip
    assert chip_names(["a.jpg", "b.jpg", "a.jpg", "b.png", "a.jpg"]) == [
        "a.webp", "b.jpg.webp", "a.face2.webp", "b.png.webp", "a.face3.webp",
    ]  # fmt: skip


def test_faces_of_one_photograph_become_chips_that_stay_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = [load_picture(PORTRAITS / f"{n}.jpg", n) for n in ("joe_biden", "barack_obama_2012")]
    sizes = [(round(p.shape[1] * 500 / p.shape[0]), 500) for p in pair]
    both = np.hstack([cv2.resize(p, size) for p, size in zip(pair, sizes, strict=True)])
    root, find = tmp_path / "raw", dlib.get_frontal_face_detector()
    root.mkdir()
    assert cv2.imwrite(str(root / "both.jpg"), both)
    found = sorted((f.left(), f.top(), f.right(), f.bottom()) for f in find(both))
    assert len(found) == 2
    rows = [(70, "M", *found[0]), (51, "M", *found[1]), (9, "F", 0, 450, 30, 490)]
    lines = ["img_name,age,gender,face_x0,face_y0,face_x1,face_y1"]
    lines += [",".join(map(str, ("both.jpg", *row))) for row in rows]
    (root / "lagenda_annotation.csv").write_text("\n".join(lines))
    assert prepare("lagenda", "--root", root, "--out", tmp_path / "out", "--workers", "1") == 0
    assert f"{NOT_IN_BOX} 1" in capsys.readouterr().out
    table = read_table(tmp_path / "out" / "lagenda.csv")
    assert [(face.file, face.age) for face in table] == [
        ("both.webp", (70, 70)),
        ("both.face2.webp", (51, 51)),
    ]
    assert len({(face.group, face.split) for face in table}) == 1
    chips = load_chips(tmp_path / "out", "lagenda", table[0].split)
    assert np.abs(chips.images[0].astype(int) - chips.images[1]).mean() > 10


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(("name", "least"), [("utkface", 118), ("fairface", 108), ("fgnet", 115)])
def test_faces_are_found_in_originals(
    data_dir: Path, tmp_path: Path, name: str, least: int
) -> None:
    root = data_dir / "raw" / name
    options = ["--limit", "120", "--workers", "1"]
    assert prepare(name, "--root", root, "--out", tmp_path, *options) == 0
    assert len(read_table(tmp_path / f"{name}.csv")) >= least


@pytest.mark.slow
@pytest.mark.data
def test_aligned_originals_become_the_chips_that_others_made_of_them(
    data_dir: Path, tmp_path: Path
) -> None:
    root = data_dir / "raw" / "utkface"
    assert prepare("utkface", "--root", root, "--out", tmp_path, "--aligned") == 0
    paths = tmp_path / "utkface.tar", data_dir / "faces" / "utkface.tar"
    with tarfile.open(paths[0]) as ours, tarfile.open(paths[1]) as theirs:
        both = sorted(set(ours.getnames()) & set(theirs.getnames()))
        differences = [
            cv2.absdiff(*(picture(tar, name) for tar in (ours, theirs))) for name in both
        ]
    assert len(both) > 60 and np.median([d.mean() for d in differences]) < 4


def picture(tar: tarfile.TarFile, name: str) -> np.ndarray:
    member = tar.extractfile(name)
    assert member is not None
    return decoded(member.read())


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize(("signal_", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_real_run_that_is_stopped_goes_on_to_the_same_end(
    tmp_path: Path, signal_: int, code: int
) -> None:
    root = utkface(tmp_path / "raw", 300)
    for path in root.glob("*.jpg"):  # larger, so that there is time to stop
        large = cv2.resize(decoded(path.read_bytes()), (1500, 1500))
        assert cv2.imwrite(str(path), large)
    command = [sys.executable, "-m", "training.prepare", "utkface", "--root", str(root)]
    command += ["--aligned"]
    progress = tmp_path / "out" / "utkface.progress.jsonl"
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "out"), "--workers", "2"],
        cwd=ROOT, text=True, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        while not progress.exists() or progress.read_bytes().count(b"\n") < 20:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal_)
        error = process.communicate(timeout=60)[1]
    assert process.returncode == code and "Traceback" not in error
    assert not (tmp_path / "out" / "utkface.csv").exists()
    done = progress.read_bytes().count(b"\n")
    assert 20 <= done < 300
    for out in ("out", "whole"):
        subprocess.run([*command, "--out", str(tmp_path / out)], cwd=ROOT, check=True)
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")
    shutil.rmtree(tmp_path / "out")
