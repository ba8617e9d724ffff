"""The program as a whole, on sets of its own making; what the figures are is tested elsewhere."""

import csv
import io
import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detectors import MIN_FACE, make_detector
from estimators import make_estimator
from program.photographs import describe_images
from sources.photographs import load_picture
from structures import Estimates
from training import evaluate
from training.judging.report import charts
from training.labels import Face, write_table

ROOT = Path(__file__).resolve().parent.parent
PORTRAITS = ROOT / "samples" / "portraits"
SMALL = "ssrnet_fairface"
LIMITS = ["--resamples", "20"]


def run_main(*arguments: object) -> int:
    try:
        return evaluate.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)


def read(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text().splitlines()))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`two` has ages, genders and splits, `genders` only genders and no splits."""
    folder = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)
    two = [
        Face(f"{i}.png", (float(20 + i), float(20 + i)), bool(i % 2), split=split)
        for i, split in enumerate(["test"] * 24 + ["train"] * 2)
    ]
    genders = [Face(f"{i}.png", female=bool(i % 3)) for i in range(8)]
    for name, faces in (("two", two), ("genders", genders)):
        write_table(folder / f"{name}.csv", faces)
        with tarfile.open(folder / f"{name}.tar", "w") as tar:
            for face in faces:
                chip = cv2.resize(rng.integers(0, 255, (6, 6, 3), np.uint8), (80, 80))
                data = cv2.imencode(".png", chip)[1].tobytes()
                entry = tarfile.TarInfo(face.file)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return folder


@pytest.fixture(scope="module")
def evaluated(sets: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Two networks on both sets: the folder of results, and what was said."""
    out = tmp_path_factory.mktemp("out") / "new"
    shutil.copy(ROOT / "weights" / f"{SMALL}.onnx", out.parent / "mine.onnx")
    where = ["--data", sets, "--sets", "two", "genders", "--out", out]
    with pytest.MonkeyPatch.context() as patch:
        printed = io.StringIO()
        patch.setattr(charts, "DPI", 40)
        patch.setattr("sys.stdout", printed)
        assert run_main(SMALL, out.parent / "mine.onnx", *where, *LIMITS) == 0
    return out, printed.getvalue()


def test_every_network_is_measured_on_every_set(evaluated: tuple[Path, str]) -> None:
    out, printed = evaluated
    metrics = json.loads((out / "metrics.json").read_text())
    pairs = [(one["model"], one["set"], one["faces"]) for one in metrics["results"]]
    assert pairs == [
        (SMALL, "two test", 24), ("mine", "two test", 24),
        (SMALL, "genders", 8), ("mine", "genders", 8),
    ]  # fmt: skip
    first, same = metrics["results"][:2]
    assert first["scores"] == same["scores"]  # it is the same network
    assert set(metrics["models"]["mine"]["ms_a_face"]) == {"1", "8"}
    shown = f"{first['scores']['all']['mae_years']['value']:.2f}"
    assert printed.count(f"| {shown} (") == 2
    assert "not labelled: age, ethnicity" in printed


def test_predictions_give_the_figures_of_the_report(evaluated: tuple[Path, str]) -> None:
    out, _ = evaluated
    rows = read(out / f"two-test.{SMALL}.csv")
    assert [row["file"] for row in rows] == [f"{i}.png" for i in range(24)]
    errors = [abs(float(row["age_years"]) - float(row["age_min"])) for row in rows]
    metrics = json.loads((out / "metrics.json").read_text())["results"][0]["scores"]["all"]
    assert np.mean(errors) == pytest.approx(metrics["mae_years"]["value"], abs=0.01)
    right = [(float(row["female_prob"]) > 0.5) == (row["gender"] == "female") for row in rows]
    assert np.mean(right) == pytest.approx(metrics["gender"]["value"])
    assert {row["white_prob"] for row in rows} == {""}  # this network tells no ethnicity


def test_the_page_needs_nothing_but_itself(evaluated: tuple[Path, str]) -> None:
    page = (evaluated[0] / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(source.startswith(("data:image/", "#")) for source in sources)
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    assert sum(source.startswith("data:image/jpeg") for source in sources) > 20
    assert page.count("<details") == 4
    for opened, closed in (("<table", "</table>"), ("<figure", "</figure>"), ("<div", "</div>")):
        assert page.count(opened) == page.count(closed)


def test_faces_can_be_left_out_of_the_page(sets: Path, tmp_path: Path) -> None:
    where = ["--data", sets, "--sets", "genders", "--out", tmp_path, "--limit", "6"]
    assert run_main(SMALL, *where, *LIMITS, "--no-faces") == 0
    page = (tmp_path / "report.html").read_text()
    assert "image/jpeg" not in page and "image/webp" in page
    assert json.loads((tmp_path / "metrics.json").read_text())["results"][0]["faces"] == 6


@pytest.mark.slow
def test_a_set_is_measured_from_afar_too(sets: Path, tmp_path: Path) -> None:
    where = ["--data", sets, "--sets", "genders", "--out", tmp_path, "--limit", "6"]
    assert run_main(SMALL, *where, *LIMITS, "--no-faces", "--eye-distance", "2", "8") == 0
    found = json.loads((tmp_path / "metrics.json").read_text())["results"]
    assert [one["set"] for one in found] == [
        "genders", "genders, eyes 2 px apart", "genders, eyes 8 px apart",
    ]  # fmt: skip
    near, far = (read(tmp_path / f"{name}.{SMALL}.csv") for name in (
        "genders", "genders-eyes-2-px-apart"
    ))  # fmt: skip
    assert [row["female_prob"] for row in near] != [row["female_prob"] for row in far]


@pytest.mark.slow
def test_photographs_go_the_whole_way_onto_an_error_card_and_a_model_card(tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    shutil.copytree(PORTRAITS, folder)
    cv2.imwrite(str(folder / "wall.png"), np.full((200, 300, 3), 120, np.uint8))
    (folder / "labels.csv").write_text(
        "file,age,gender\nbarack_obama_2012.jpg,51,m\njoe_biden.jpg,70,m\n"
        "eileen_collins.png,42,f\nwall.png,1,f\n"
    )
    card = tmp_path / "card.md"
    card.write_text("# mine\n\nText.\n\n## Accuracy\nold figures\n\n## Limits\n- none\n")
    options = [
        "--folder",
        f"family={folder}",
        "--out",
        tmp_path / "out",
        "--card",
        card,
        "--worst",
        2,
    ]
    assert run_main("mobilenetv2_fairface", *options, *LIMITS) == 0
    page = (tmp_path / "out" / "error_card.html").read_text()
    assert "<strong>1 of 4</strong>" in page and "unsure, 3 people" in page
    assert re.search(r"<th>female<small[^<]*</small></th><td>1</td><td>1</td>", page)
    rows = read(tmp_path / "out" / "family.mobilenetv2_fairface.csv")
    assert [row["age_years"] == "" for row in rows] == [False, False, False, True]
    photograph = load_picture(folder / rows[0]["file"], "photograph")
    told = describe_images(
        [photograph],
        make_detector("mtcnn", MIN_FACE),
        make_estimator("mobilenetv2", "mobilenetv2_fairface"),
    )
    ((_, estimates),) = told  # as predict.py tells
    assert float(rows[0]["age_years"]) == pytest.approx(float(estimates.age_years[0]), abs=0.01)
    sheet = cv2.imread(str(tmp_path / "out" / "family.mobilenetv2_fairface.worst.jpg"))
    assert sheet is not None and sheet.shape == (3 * (16 + 112 + 32), 15 * 112, 3)
    assert sheet[16:128, :112].std() > 20 and sheet[16:128, 112:].mean() > 250  # one per band
    text = card.read_text()
    assert text.startswith("# mine\n\nText.\n\n## Accuracy\n| | family: n | MAE | bias | gender |")
    assert "old figures" not in text and text.endswith("## Limits\n- none\n")
    assert "on the 3 of 4 faces found" in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonsense", "--sets", "two"], "no weights called 'nonsense'"),
        (["gone.onnx", "--sets", "two"], "gone.onnx does not exist"),
        ([SMALL, "--sets", "gone"], "no set gone"),
        ([SMALL, "--sets", "two:val"], "no rows of the split val; has test, train"),
        ([SMALL], "choose what to evaluate on"),
        ([SMALL, "--folder", "gone"], "no folder gone"),
        (["--sets", "two", "--card", "card.md"], "a card is of one model"),
        ([SMALL, "--sets", "two", "--card", "card.md", "--limit", "9"], "a card is of all faces"),
        ([SMALL, "--sets", "two", "--classes", "9"], "invalid choice"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    sets: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    assert run_main(*arguments, "--data", sets, "--out", tmp_path / "out", *LIMITS) == 2
    error = capsys.readouterr().err.strip()
    assert complaint in error and "\n" not in error


def test_a_card_does_not_lose_what_is_not_measured_anew(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tmp_path / "card.md"
    common = [SMALL, "--data", sets, "--out", tmp_path / "out", "--card", card, *LIMITS]
    assert run_main(*common, "--sets", "two", "genders") == 0
    whole = card.read_text()
    capsys.readouterr()
    assert run_main(*common, "--sets", "two") == 2
    error = capsys.readouterr().err
    assert f"{card} also has figures of genders, which would be lost" in error
    assert card.read_text() == whole
    assert run_main(*common, "--sets", "genders", "two") == 0


def test_a_folder_that_cannot_be_written_to_is_named_before_anything_is_done(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "out"
    taken.write_text("a file")
    assert run_main(SMALL, "--data", sets, "--sets", "two", "--out", taken) == 2
    assert f"{taken}: cannot be written: File exists" in capsys.readouterr().err


def test_a_disk_that_fills_up_leaves_what_is_finished(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if "genders" in path.name:
            raise OSError(28, "No space left on device")
        return whole(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    options = ["--data", sets, "--sets", "two", "genders", "--out", tmp_path]
    assert run_main(SMALL, *options, *LIMITS) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [f"two-test.{SMALL}.csv"]


def test_ctrl_c_ends_with_one_line_and_keeps_finished_tables(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Impatient:
        def __init__(self, kind: str, weights: str | None, **options: Any) -> None:
            self._network = make_estimator(kind, weights, **options)
            self.input_size, self.has_ethnicity = self._network.input_size, False

        def estimate(self, chips: Any) -> Estimates:
            if len(chips) == 8:  # all of the second set
                raise KeyboardInterrupt
            return self._network.estimate(chips)

    options = ["--data", str(sets), "--sets", "two", "genders", "--out", str(tmp_path)]
    assert evaluate.main([SMALL, *options, *LIMITS], make=Impatient) == 130
    assert f"interrupted; finished tables are in {tmp_path}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [f"two-test.{SMALL}.csv"]


@pytest.mark.slow
@pytest.mark.data
def test_the_card_of_the_small_network_is_right(data_dir: Path, tmp_path: Path) -> None:
    where = ["--data", data_dir / "faces", "--sets", "utkface", "--out", tmp_path, "--no-faces"]
    assert run_main(SMALL, *where, "--resamples", 0, "--card", tmp_path / "card.md") == 0
    by_group = (tmp_path / "card.md").read_text().partition("## Accuracy\n")[2].partition("\n\n")[0]
    card = (ROOT / "weights" / f"{SMALL}.md").read_text()
    rows = [
        line.strip(" |").split(" | ") for line in by_group.splitlines() if line.startswith("| ")
    ]
    assert len(rows) == 17
    for row in rows[1:]:
        assert f"| {' | '.join(row)} |" in card
