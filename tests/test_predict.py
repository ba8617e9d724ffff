import csv
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import predict
from errors import SinkError, SourceError
from structures import Image

PORTRAITS = Path(__file__).resolve().parent.parent / "samples" / "portraits"


def read_image(path: str) -> Image:
    image = cv2.imread(path)
    assert image is not None
    return np.asarray(image, np.uint8)


def run_main(*arguments: str) -> int:
    try:
        return predict.main(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for path in PORTRAITS.iterdir():
        picture = read_image(str(path))
        scale = 480 / picture.shape[0]
        cv2.imwrite(str(folder / f"{path.stem}.jpg"), cv2.resize(picture, None, fx=scale, fy=scale))
    cv2.imwrite(str(folder / "wall.png"), np.full((200, 300, 3), 120, np.uint8))
    return folder


def test_a_folder_becomes_a_table_and_annotated_pictures(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
        annotated, original = (read_image(str(f / path.name)) for f in (pictures, photographs))
        changed = (cv2.absdiff(annotated, original) > 40).any()
        assert changed == (path.stem != "wall")
    assert "3 faces in 4 pictures, 1 without a face" in capsys.readouterr().err


def test_json_and_ethnicity_on_request(photographs: Path, tmp_path: Path) -> None:
    table = tmp_path / "faces.json"
    picture = str(photographs / "joe_biden.jpg")
    assert run_main(picture, "--table", str(table), "--attributes", "age,gender,ethnicity") == 0
    (row,) = json.loads(table.read_text())
    shares = [value for name, value in row.items() if name.endswith("_prob")]
    assert sum(shares[1:]) == pytest.approx(1, abs=0.01)
    assert row["x1"] < row["x2"]


def test_without_a_table_file_the_table_goes_to_standard_output(
    photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(str(photographs / "wall.png"), str(photographs / "joe_biden.jpg")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("file,face,x1")
    assert len(lines) == 2


def test_a_dash_is_standard_output_and_json_is_about_it() -> None:
    assert predict.parse_arguments(["a.jpg", "--table", "-"]).table is None
    assert predict.parse_arguments(["a.jpg", "--table", "-", "--json"]).json
    with pytest.raises(SystemExit, match="2"):
        predict.parse_arguments(["a.jpg", "--json", "--table", "faces.json"])


def test_a_damaged_picture_is_left_out_and_named(
    photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photographs / "broken.jpg").write_text("no picture")
    assert run_main(str(photographs)) == 1
    captured = capsys.readouterr()
    assert "broken.jpg is damaged" in captured.err
    assert len(captured.out.splitlines()) == 4


def test_all_that_is_left_out_is_named_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.jfif", "b.png"):
        shutil.copy(PORTRAITS / "joe_biden.jpg", tmp_path / name)
    for i in range(5):
        (tmp_path / f"notes{i}.txt").write_text("")
    (tmp_path / "more").mkdir()
    shutil.copy(PORTRAITS / "joe_biden.jpg", tmp_path / "more" / "c.JPG")
    (tmp_path / "more" / "film.mp4").write_text("")
    assert run_main(str(tmp_path)) == 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "2 faces in 2 pictures" in error
    assert "5 files not called a picture" in error
    assert "notes2.txt, and 2 more)" in error
    assert f"1 folder not searched without --recursive ({tmp_path}/more)" in error
    assert run_main(str(tmp_path), "--recursive") == 0
    captured = capsys.readouterr()
    assert "3 faces in 3 pictures, 0 without" in captured.err
    assert "6 files not" in captured.err
    assert [Path(row["file"]).name for row in csv.DictReader(captured.out.splitlines())] == [
        "a.jfif", "b.png", "c.JPG",
    ]  # fmt: skip


def test_a_folder_of_folders_mentions_recursive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more").mkdir()
    assert run_main(str(tmp_path)) == 2
    assert "holds no pictures; try --recursive" in capsys.readouterr().err


def test_ctrl_c_keeps_the_table_so_far(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    def count(texts: Any, **_: Any) -> Any:
        yield from list(texts)[:2]
        raise KeyboardInterrupt

    monkeypatch.setattr("predict.tqdm", count)
    table = tmp_path / "faces.csv"
    assert run_main(str(photographs), "--table", str(table)) == 130
    assert "interrupted, 2 faces in the table" in capsys.readouterr().err
    assert len(table.read_text().splitlines()) == 3


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
def test_a_signal_keeps_the_table_so_far(
    number: str, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count(texts: Any, **_: Any) -> Any:
        yield from list(texts)[:2]
        signal.raise_signal(getattr(signal, number))

    monkeypatch.setattr("predict.tqdm", count)
    table = tmp_path / "faces.csv"
    assert run_main(str(photographs), "--table", str(table)) == 130
    assert len(table.read_text().splitlines()) == 3


def test_a_picture_whose_saving_is_interrupted_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path, data: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("predict.write_whole", interrupted)
    folder = predict.PictureFolder(str(tmp_path), [])
    with pytest.raises(KeyboardInterrupt):
        folder.save(np.zeros((8, 8, 3), np.uint8), Path("photo.png"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.jpg"], "nowhere.jpg"),
        (["x" * 300], "too long"),
        (["{tmp}/empty"], "empty"),
        (["{tmp}/text.jpg"], "text.jpg"),
        (["{tmp}/photo.jpg", "--table", "{tmp}/faces.txt"], ".csv"),
        (["{tmp}/photo.jpg", "--table", "{tmp}/nowhere/faces.csv"], "nowhere"),
        (["{tmp}/photo.jpg", "--pictures", "{tmp}"], "originals"),
        (["{tmp}/photo.jpg", "--estimator", "resnet"], "mobilenetv2"),
    ],
)
def test_bad_input_gives_one_line_and_exit_code_2(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.jpg").write_text("no picture")
    shutil.copy(PORTRAITS / "joe_biden.jpg", tmp_path / "photo.jpg")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert run_main(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read anything")
def test_a_folder_that_may_not_be_read_is_a_source_error(tmp_path: Path) -> None:
    folder = tmp_path / "secret"
    folder.mkdir(mode=0)
    try:
        with pytest.raises(SourceError, match="Permission denied"):
            predict.find_pictures([str(folder)])
    finally:
        folder.chmod(0o700)


def test_a_picture_that_cannot_be_saved_ends_the_run_but_leaves_the_table(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, pictures = tmp_path / "faces.csv", tmp_path / "annotated"
    (pictures / "joe_biden.jpg").mkdir(parents=True)
    outputs = ["--table", str(table), "--pictures", str(pictures)]
    assert run_main(str(photographs), *outputs) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "joe_biden.jpg: cannot be written" in error
    stems = [Path(row["file"]).stem for row in csv.DictReader(table.read_text().splitlines())]
    assert stems == ["barack_obama_2012", "eileen_collins", "joe_biden"]
    assert not list(pictures.glob("*.partial"))


@pytest.mark.parametrize(
    ("source", "width", "saved"),
    [
        ("photo.jpg", 40, "photo.jpg"),
        ("photo", 40, "photo.png"),
        ("photo.heic", 40, "photo.heic.png"),
        ("wide.webp", 20_000, "wide.webp.png"),  # wider than WebP can be
    ],
)
def test_a_picture_is_saved_in_its_own_format_or_else_as_png(
    source: str, width: int, saved: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    picture = np.full((8, width, 3), 77, np.uint8)
    predict.PictureFolder(str(tmp_path / "out"), []).save(picture, Path(source))
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == saved
    np.testing.assert_allclose(read_image(str(path)), picture, atol=3)
    assert capfd.readouterr().err == ""


def test_pictures_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    (tmp_path / "photo-2.png").write_text("of the user")
    (tmp_path / "photo-4.png").symlink_to(tmp_path / "nothing")
    folder = predict.PictureFolder(str(tmp_path), [])
    for level, source in enumerate(("a/photo.png", "b/photo.png", "photo", "c/photo.png")):
        folder.save(np.full((8, 8, 3), level, np.uint8), Path(source))
    names = ["photo.png", "photo-3.png", "photo-5.png", "photo-6.png"]
    assert [read_image(str(tmp_path / name))[0, 0, 0] for name in names] == [0, 1, 2, 3]
    assert (tmp_path / "photo-2.png").read_text() == "of the user"
    assert not (tmp_path / "nothing").exists()


def test_originals_are_safe_from_their_links(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    originals, links = tmp_path / "originals", tmp_path / "links"
    originals.mkdir()
    links.mkdir()
    (originals / "p.png").write_bytes(
        predict.encode(np.zeros((64, 64, 3), np.uint8), ".png") or b""
    )
    (links / "p.png").symlink_to(originals / "p.png")
    assert run_main(str(links), "--pictures", str(originals)) == 2
    assert "holds the originals" in capsys.readouterr().err
    assert [path.name for path in originals.iterdir()] == ["p.png"]


def test_embeddings_are_not_overwritten_by_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "e.csv"
    path.write_text("0.1,0.2\n")
    assert run_main("--features", str(path), "--table", str(path)) == 2
    assert "is the source itself" in capsys.readouterr().err
    assert path.read_text() == "0.1,0.2\n"


def test_a_disk_that_fills_up_leaves_no_half_written_picture(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    folder = predict.PictureFolder(str(tmp_path), [])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(SinkError, match="File too large"):
            folder.save(noise, Path("noise.png"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())
