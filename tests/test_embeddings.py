import csv
import json
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from errors import DatasetError
from tests import chip_sets
from tests.test_prepare import utkface
from training import embeddings, prepare
from training.fitting.vectors import read_vectors
from training.labels import read_table, write_table
from training.train_heads import main as train_main

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

COUNT, TESTS = 40, 8
write_embeddings = partial(embeddings.write_embeddings, part_faces=16)


class MeanColours:
    """Embeds a chip as the means of its left and right half; counts the chips."""

    name, input_size = "mean_colours", 16

    def __init__(self, stop_after: int = 10**9) -> None:
        self.seen, self._stop_after = 0, stop_after

    @classmethod
    def of(cls, *_: str, **__: str) -> "MeanColours":
        """As `make_embedder`, whatever it is asked for."""
        return cls()

    def embed(self, chips: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        if self.seen >= self._stop_after:
            raise KeyboardInterrupt
        self.seen += len(chips)
        values = chips.astype(np.float32) / 255
        halves = [values[:, :, :8].mean((1, 2)), values[:, :, 8:].mean((1, 2))]
        embedding = np.concatenate(halves, axis=1)
        return {"embedding": embedding, "features": np.concatenate([embedding, embedding], 1)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "sets"
    folder.mkdir()
    chip_sets.write_set(folder, "small", COUNT, tests=TESTS)
    return folder


def test_what_is_written_is_read_back_with_its_labels(data: Path, tmp_path: Path) -> None:
    assert write_embeddings(data, "small", tmp_path, MeanColours(), views=3) == COUNT + TESTS
    chips = chip_sets.chips(COUNT)
    found = read_vectors(tmp_path, "small", "train")
    for name in ("age_low", "age_high", "female", "race", "files", "groups"):
        np.testing.assert_array_equal(getattr(found.chips, name), getattr(chips, name))
    plain, mirrored, varied = found.views["embedding"]
    wanted = chips.images[:, :, :16].mean((1, 2)) / 255
    np.testing.assert_allclose(plain[:, :3], wanted, atol=0.01)
    np.testing.assert_allclose(mirrored, np.roll(plain, 3, axis=1), atol=1e-3)
    assert np.abs(varied.astype(float) - plain).max() > 0.05
    wide = read_vectors(tmp_path, "small", "train", "features").views["features"]
    np.testing.assert_array_equal(wide, np.concatenate([found.views["embedding"]] * 2, axis=2))


def test_the_files_are_tfrecords_of_examples_with_known_labels_only(
    data: Path, tmp_path: Path
) -> None:
    import tensorflow as tf

    write_embeddings(data, "small", tmp_path, MeanColours(), views=2, splits=["train"])
    paths = sorted((tmp_path / "small.embeddings").glob("train-*.tfrecord"))
    assert [path.name for path in paths] == [f"train-0000{i}-of-00003.tfrecord" for i in range(3)]
    rows = [
        tf.train.Example.FromString(row).features.feature
        for row in tf.data.TFRecordDataset([str(path) for path in paths]).as_numpy_iterator()
    ]
    assert len(rows) == COUNT
    assert len(rows[0]["embedding"].float_list.value) == 2 * 6
    assert [row["gender"].int64_list.value[0] for row in rows[:2]] == [0, 1]  # 0 is male
    assert "age_min" in rows[0]
    assert "age_min" not in rows[7]
    assert "ethnicity" not in rows[7]


def test_an_interrupted_run_goes_on_and_gives_the_same(data: Path, tmp_path: Path) -> None:
    write_embeddings(data, "small", tmp_path / "whole", MeanColours(), views=3)
    with pytest.raises(KeyboardInterrupt):
        write_embeddings(data, "small", tmp_path / "cut", MeanColours(stop_after=90), views=3)
    done = write_embeddings(data, "small", tmp_path / "cut", MeanColours(), views=3)
    assert 0 < done < COUNT + TESTS
    for split in ("train", "test"):
        one, other = (read_vectors(tmp_path / name, "small", split) for name in ("whole", "cut"))
        np.testing.assert_array_equal(one.views["embedding"], other.views["embedding"])
    assert not list(tmp_path.rglob("*.part*"))
    assert write_embeddings(data, "small", tmp_path / "cut", MeanColours(), views=3) == 0


def test_embeddings_of_other_chips_are_not_mixed(data: Path, tmp_path: Path) -> None:
    write_embeddings(data, "small", tmp_path, MeanColours(), splits=["test"])
    table = (data / "small.csv").read_bytes()
    chip_sets.write_set(data, "small", COUNT, side=24, tests=TESTS)
    assert (data / "small.csv").read_bytes() == table
    with pytest.raises(DatasetError, match="another chips_sha256"):
        write_embeddings(data, "small", tmp_path, MeanColours())


def test_embeddings_of_another_kind_are_not_mixed(data: Path, tmp_path: Path) -> None:
    write_embeddings(data, "small", tmp_path, MeanColours(), views=1)
    with pytest.raises(DatasetError, match=r"another views \(1, not 2\); delete it"):
        write_embeddings(data, "small", tmp_path, MeanColours(), views=2)


def test_damaged_and_missing_files_are_named(data: Path, tmp_path: Path) -> None:
    write_embeddings(data, "small", tmp_path, MeanColours(), views=1)
    with pytest.raises(DatasetError, match="has no split val; has test, train"):
        read_vectors(tmp_path, "small", "val")
    with pytest.raises(DatasetError, match="no embeddings of other"):
        read_vectors(tmp_path, "other", "train")
    path = tmp_path / "small.embeddings" / "train-00001-of-00003.tfrecord"
    data_of = path.read_bytes()
    for damaged in (data_of[:-5], data_of[:100] + b"?" + data_of[101:]):
        path.write_bytes(damaged)
        with pytest.raises(DatasetError, match=r"train-00001.* is missing or damaged"):
            read_vectors(tmp_path, "small", "train")
    path.unlink()
    with pytest.raises(DatasetError, match=r"train-00001.* is missing or damaged"):
        read_vectors(tmp_path, "small", "train")


def test_wrong_input_is_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in {
        ("none",): "cannot read the table",
        ("small", "--splits", "val"): "has no split val; has test, train",
    }.items():
        places = ["--data", str(data), "--out", str(tmp_path)]
        assert embeddings.main([*arguments, *places], MeanColours.of) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_preparing_a_set_can_write_its_embeddings_too(tmp_path: Path) -> None:
    folder = utkface(tmp_path / "raw", count=12, twins=2)
    arguments = ["utkface", "--root", str(folder), "--out", str(tmp_path / "out"), "--aligned"]
    assert prepare.main([*arguments, "--embeddings"], MeanColours.of) == 0
    labels = read_table(tmp_path / "out" / "utkface.csv")
    found = [
        name
        for split in ("train", "test")
        for name in read_vectors(tmp_path / "out", "utkface", split).chips.files
    ]
    assert sorted(found) == sorted(face.file for face in labels)


SETTINGS = """
architecture = "facenet"
vector = "{vector}"
network = "{network}"
hidden = 8
dropout = 0.1
input_dropout = 0.0
sets = ["small"]
held_out = 0.2
epochs = 6
batch = 8
rate = 0.05
ema = 0.5
"""


@pytest.fixture
def embedded(data: Path, tmp_path: Path) -> Path:
    write_embeddings(data, "small", tmp_path / "emb", MeanColours(), views=2)
    return tmp_path / "emb"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vector", "network"), [("features", "modern"), ("embedding", "published")]
)
def test_heads_learn_and_become_an_onnx_file(
    vector: str, network: str, embedded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from estimators.facenet import FaceNetHeads
    from training.tools.export import export

    config = tmp_path / "tiny.toml"
    config.write_text(SETTINGS.format(vector=vector, network=network))
    arguments = [str(config), "--embeddings", str(embedded), "--out", str(tmp_path / "run")]
    assert train_main(arguments) == 0
    assert "held out: age_mae_years" in capsys.readouterr().out
    log = list(csv.DictReader((tmp_path / "run" / "log.csv").read_text().splitlines()))
    assert len(log) == 6
    assert float(log[-1]["loss"]) < 0.8 * float(log[0]["loss"])
    record = json.loads((tmp_path / "run" / "tiny.json").read_text())
    assert record["architecture"] == record["settings"]["architecture"] == "facenet"
    assert set(record["test"]) == {
        "small", "small_mirrored", "small_10", "small_10_mirrored",
    }  # fmt: skip
    assert record["test"]["small"]["gender_accuracy"] == 1
    heads = FaceNetHeads(export(tmp_path / "run" / "tiny.keras")[0])
    found = read_vectors(embedded, "small", "test", vector)
    told = heads(found.views[vector][0])
    assert heads.reads == vector
    np.testing.assert_array_equal(told["gender"].argmax(1), found.chips.female)
    np.testing.assert_allclose(told["age"].sum(1), 1, atol=1e-5)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_heads(embedded: Path, tmp_path: Path) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(SETTINGS.format(vector="embedding", network="modern") + "seed = 3\n")
    logs = []
    for name in ("one", "two"):
        arguments = [str(config), "--embeddings", str(embedded), "--out", str(tmp_path / name)]
        assert train_main([*arguments, "--set", "epochs=2"]) == 0
        lines = csv.DictReader((tmp_path / name / "log.csv").read_text().splitlines())
        logs.append([line["loss"] for line in lines])
    assert logs[0] == logs[1]


@pytest.mark.slow
def test_heads_that_are_interrupted_resume_to_the_same_end(
    embedded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras = pytest.importorskip("keras")
    config = tmp_path / "tiny.toml"
    config.write_text(SETTINGS.format(vector="features", network="modern") + "seed = 3\n")
    command = [str(config), "--embeddings", str(embedded), "--set", "epochs=2", "--out"]
    assert train_main([*command, str(tmp_path / "whole")]) == 0
    whole_fit, calls = keras.Model.fit, []

    def interrupted_fit(self: Any, *args: Any, **kwargs: Any) -> Any:
        fitted = whole_fit(self, *args, **kwargs)
        calls.append(fitted)
        if len(calls) == 1:  # in the middle of the first epoch
            signal.raise_signal(signal.SIGINT)
        return fitted

    monkeypatch.setattr(keras.Model, "fit", interrupted_fit)
    assert train_main([*command, str(tmp_path / "broken")]) == 130
    assert not (tmp_path / "broken" / "tiny.json").exists()
    assert train_main([*command, str(tmp_path / "broken"), "--resume"]) == 0
    with (
        np.load(tmp_path / "whole" / "checkpoint.npz") as whole,
        np.load(tmp_path / "broken" / "checkpoint.npz") as broken,
    ):
        for name in set(whole.files) - {"progress"}:
            np.testing.assert_array_equal(broken[name], whole[name], err_msg=name)
    assert train_main([*command, str(tmp_path / "whole")]) == 0  # anew, without --resume


def test_a_set_without_known_ages_is_measured_as_a_whole_only(
    embedded: Path, data: Path, tmp_path: Path
) -> None:
    faces = [replace(face, age=None) for face in read_table(data / "small.csv")]
    shutil.copy(data / "small.tar", data / "genders.tar")
    write_table(data / "genders.csv", faces)
    write_embeddings(data, "genders", embedded, MeanColours())
    config = tmp_path / "tiny.toml"
    config.write_text(SETTINGS.format(vector="embedding", network="modern"))
    command = [str(config), "--embeddings", str(embedded), "--out", str(tmp_path / "run")]
    assert train_main(command) == 0
    tests = json.loads((tmp_path / "run" / "tiny.json").read_text())["test"]
    assert {name for name in tests if name.startswith("genders")} == {"genders", "genders_mirrored"}


def test_children_can_be_left_out_for_training(embedded: Path) -> None:
    from training.fitting.settings import TrainingSettings
    from training.train_heads import load_data, old_enough

    settings = TrainingSettings(
        architecture="facenet", sets=["small"], vector="embedding", batch=4, held_out=0.2,
        min_age=20,
    )  # fmt: skip
    data = load_data(embedded, settings)
    assert data.chips.age_low.min() >= 20
    assert data.views.shape == (2, len(data.chips), 6)
    assert len(old_enough(chip_sets.chips(8), 20)) < 8


def test_what_fits_no_heads_is_one_line(
    embedded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(SETTINGS.format(vector="embedding", network="modern"))
    for change, message in {
        "age=ssr": "an age other than 'ssr'",
        "hidden=0": "hidden of at least 1",
        "batch=100": "do not fill a batch of 100",
        "sets=none": "no embeddings of none",
        "vector=words": "vector must be one of",
        "imitate=dlib": "no use for imitate",
        "limit=10": "no use for limit",
    }.items():
        arguments = [str(config), "--embeddings", str(embedded), "--out", str(tmp_path / "run")]
        assert train_main([*arguments, "--set", change]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
