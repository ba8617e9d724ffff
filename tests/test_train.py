import csv
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import DatasetError, WeightsError
from estimators.age import scale_at
from tests import chip_sets
from training.fitting import held_out, training_data
from training.fitting.checkpoint import Progress
from training.fitting.fit import factor, rate
from training.fitting.run_log import write_log
from training.fitting.settings import TrainingSettings, read_settings
from training.fitting.spreads import fit_spread_scale, written
from training.labels import read_table, write_table
from training.train import main

# Keras converts TensorFlow's variables in a way that NumPy 2 no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """
architecture = "transfer"
age = "expectation"
hidden = 4
dropout = 0.3
sets = ["small"]
held_out = 0.2
epochs = 3
batch = 8
rate = 0.01
ema = 0.5
workers = 0
strength = 0.2
"""


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("keras")


@pytest.fixture(scope="module")
def folder(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 64 chips, a backbone of one convolution, and a settings file."""
    folder = tmp_path_factory.mktemp("small")
    chip_sets.write_set(folder, "small", 64)
    rgb = keras.Input((16, 16, 3), name="rgb")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(rgb)
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    keras.Model(rgb, x).save(folder / "backbone.keras")
    (folder / "small.toml").write_text(f'backbone = "{folder / "backbone.keras"}"\n{CONFIG}')
    return folder


def arguments(folder: Path, out: Path, *changes: str, more: Sequence[str] = ()) -> list[str]:
    settings = ["--set", *changes] if changes else []
    return [str(folder / "small.toml"), "--data", str(folder), "--out", str(out), *settings, *more]


def numbers(out: Path) -> dict[str, np.ndarray]:
    """All that decides how a run goes on, and the weights that it has given."""
    with np.load(out / "checkpoint.npz") as file:
        return {name: file[name] for name in file.files if name != "progress"}


def log(out: Path) -> list[dict[str, str]]:
    with (out / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without interruption, the backbone frozen in its first epoch."""
    out = tmp_path_factory.mktemp("whole")
    assert main(arguments(folder, out, "frozen_epochs=1")) == 0
    return out


@pytest.mark.slow
def test_the_loss_falls_and_all_files_are_there(whole: Path, folder: Path) -> None:
    lines = log(whole)
    assert [line["epoch"] for line in lines] == ["1", "2", "3"]
    assert float(lines[-1]["loss"]) < 0.95 * float(lines[0]["loss"])
    names = {path.name for path in whole.iterdir()}
    assert names == {
        *("small.keras", "small.json", "log.csv", "history.png"),
        *("settings.toml", "checkpoint.npz", "tensorboard"),
    }
    record = json.loads((whole / "small.json").read_text())
    assert record["settings"]["epochs"] == 3
    assert record["data"]["learnt"]["rows"] + record["held_out"]["rows"] == 64
    assert record["test"]["small"]["rows"] == 8
    assert record["versions"]["keras"]
    assert str(folder) not in json.dumps(record)
    scores = [float(line["score"]) for line in lines]
    assert record["best_epoch"] == 1 + scores.index(min(scores))


@pytest.mark.slow
def test_the_weights_that_are_saved_are_the_averaged_ones_of_the_best_epoch(
    whole: Path, keras: Any
) -> None:
    model = keras.saving.load_model(whole / "small.keras", compile=False)
    chips = chip_sets.chips(64)
    record = json.loads((whole / "small.json").read_text())
    _, held = held_out.hold_out(chips.groups, 0.2, 0)
    found = held_out.metrics(held_out.predict(model, chips.images[held]), chips.take(held))
    for name, value in found.items():
        assert record["held_out"][name] == pytest.approx(value, abs=1e-4)
    assert found["score"] == pytest.approx(
        min(float(line["score"]) for line in log(whole)), abs=1e-3
    )


@pytest.mark.slow
def test_a_run_that_goes_on_gives_what_an_uninterrupted_one_gives(
    whole: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any
) -> None:
    class Interrupting(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            seen.append(batch)
            if len(seen) in stops:  # in the middle of the frozen epoch, and of a later one
                signal.raise_signal(signal.SIGINT)

    seen: list[int] = []
    whole_fit = keras.Model.fit

    def interrupted_fit(self: Any, *args: Any, callbacks: list[Any], **kwargs: Any) -> Any:
        return whole_fit(self, *args, callbacks=[*callbacks, Interrupting()], **kwargs)

    monkeypatch.setattr(keras.Model, "fit", interrupted_fit)
    stops = {2, 15}
    begin = arguments(folder, tmp_path, "frozen_epochs=1")
    assert main(begin) == 130
    assert main([*begin, "--resume"]) == 130
    assert main([*begin, "--resume"]) == 0
    assert len(seen) == 3 * 6
    expected, got = numbers(whole), numbers(tmp_path)
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=1e-6, err_msg=name)
    for one, other in zip(log(whole), log(tmp_path), strict=True):
        assert float(one["score"]) == pytest.approx(float(other["score"]), abs=1e-4)


@pytest.mark.slow
def test_a_run_is_not_written_over_and_not_mixed_with_another(
    whole: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder, whole, "frozen_epochs=1")) == 2
    assert "add --resume" in capsys.readouterr().err
    assert main(arguments(folder, whole, "rate=0.5", more=["--resume"])) == 2
    error = capsys.readouterr().err
    assert "has other frozen_epochs, rate" in error or "has other rate, frozen_epochs" in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_finished_run_can_be_given_more_epochs(whole: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "more")
    more = arguments(folder, tmp_path / "more", "frozen_epochs=1", "epochs=4", more=["--resume"])
    assert main(more) == 0
    assert len(log(tmp_path / "more")) == 4


@pytest.mark.slow
def test_a_run_that_is_resumed_after_its_time_is_measured_where_it_stopped(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any
) -> None:
    class Interrupting(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            signal.raise_signal(signal.SIGINT)

    whole_fit = keras.Model.fit

    def interrupted_fit(self: Any, *args: Any, callbacks: list[Any], **kwargs: Any) -> Any:
        return whole_fit(self, *args, callbacks=[*callbacks, Interrupting()], **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", interrupted_fit)
        assert main(arguments(folder, tmp_path)) == 130
    assert main(arguments(folder, tmp_path, "minutes=0.00001", more=["--resume"])) == 0
    assert len(log(tmp_path)) == 1 and (tmp_path / "small.json").is_file()


@pytest.mark.slow
def test_other_groups_are_other_data(
    whole: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder, tmp_path / "data")
    table = tmp_path / "data" / "small.csv"
    faces = [replace(face, group=f"x{face.file}") for face in read_table(table)]
    write_table(table, faces)
    command = arguments(folder, whole, "frozen_epochs=1", more=["--resume"])
    command[2] = str(tmp_path / "data")
    assert main(command) == 2
    assert "has other data" in capsys.readouterr().err


@pytest.mark.slow
def test_a_frozen_backbone_stays_as_it_was(folder: Path, tmp_path: Path, keras: Any) -> None:
    changes = ("frozen_epochs=1", "epochs=1", "ema=0")
    assert main(arguments(folder, tmp_path, *changes)) == 0
    before = keras.saving.load_model(folder / "backbone.keras", compile=False)
    after = keras.saving.load_model(tmp_path / "small.keras", compile=False)
    for name in ("conv", "norm"):
        for one, other in zip(
            before.get_layer(name).get_weights(), after.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)]
)
def test_a_run_in_mixed_precision_gives_a_file_in_float32(
    folder: Path, tmp_path: Path, keras: Any, precision: str
) -> None:
    assert main(arguments(folder, tmp_path, f"precision={precision}", "epochs=1")) == 0
    model = keras.saving.load_model(tmp_path / "small.keras", compile=False)
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert np.isfinite(float(log(tmp_path)[0]["loss"]))


@pytest.mark.slow
def test_folds_are_trained_one_by_one_and_summed_up(folder: Path, tmp_path: Path) -> None:
    changes = ("folds=3", "epochs=1", "batch=16")
    assert main(arguments(folder, tmp_path, *changes)) == 0
    summary = json.loads((tmp_path / "small.json").read_text())
    parts = [
        json.loads((tmp_path / f"fold0{k}" / "small.json").read_text())["held_out"]
        for k in (1, 2, 3)
    ]
    assert sum(part["rows"] for part in parts) == 64
    values = [part["age_mae_years"] for part in parts]
    assert summary["held_out"]["age_mae_years"]["mean"] == pytest.approx(np.mean(values))
    assert summary["held_out"]["age_mae_years"]["sd"] == pytest.approx(np.std(values, ddof=1))


def test_the_last_epoch_is_kept_where_that_is_asked_for() -> None:
    progress = Progress()
    for epoch, score in ((1, 2.0), (2, 3.0), (3, 2.5)):
        assert progress.add({"epoch": epoch, "score": score}, last=True)
        assert progress.best["epoch"] == epoch
    with pytest.raises(DatasetError, match="patience waits for a better epoch"):
        read_settings(Path("mobilenetv2"), ["keep=last", "patience=2"])


def test_a_run_ends_after_so_many_epochs_without_a_better_one() -> None:
    settings, progress = TrainingSettings(epochs=9, patience=2), Progress()
    better = []
    for score in (3.0, 2.0, 2.5, 1.9, 2.6, 1.91, 1.0):
        if progress.is_over(settings):
            break
        better.append(progress.add({"epoch": progress.epoch + 1, "score": score}))
    assert better == [True, True, False, True, False, False]
    assert progress.best["epoch"] == 4
    assert Progress(epoch=9).is_over(settings)
    assert Progress(minutes=3.0).is_over(TrainingSettings(minutes=2.0))
    assert not Progress(epoch=8, minutes=3.0).is_over(TrainingSettings(epochs=9))


@pytest.mark.slow
def test_a_teacher_is_asked_once(folder: Path, tmp_path: Path, whole: Path) -> None:
    changes = (f"teacher={whole / 'small.keras'}", "epochs=1", "batch=32")
    assert main(arguments(folder, tmp_path, *changes)) == 0
    kept = list(tmp_path.glob("teacher-*.npz"))
    assert len(kept) == 1
    with np.load(kept[0]) as file:
        answers = {name: file[name] for name in file.files}
    assert {name: value.shape for name, value in answers.items()} == {
        "age": (64, 101),
        "gender": (64, 2),
        "race": (64, 5),
    }
    again = training_data.teacher_answers(str(whole / "small.keras"), chip_sets.chips(64), tmp_path)
    np.testing.assert_array_equal(again["age"], answers["age"])


def test_of_several_teachers_the_mean_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"a": {"gender": np.array([[0.2, 0.8]])}, "b": {"gender": np.array([[0.6, 0.4]])}}
    said["c"] = said["a"] | {"race": np.full((1, 5), 0.2)}
    monkeypatch.setattr(training_data, "teacher_answers", lambda name, *_: said[name])
    found = training_data.mean_answers("a, b", chip_sets.chips(1), Path())
    np.testing.assert_allclose(found["gender"], [[0.4, 0.6]])
    with pytest.raises(WeightsError, match="the teachers a,c answer in different forms"):
        training_data.mean_answers("a,c", chip_sets.chips(1), Path())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("sets=imdb", "no set imdb in .*there: small"),
        ("teacher=none.keras", "no teacher none.keras"),
        ("backbone=none.keras", "none.keras does not exist"),
        ("batch=99", "do not fill a batch of 99"),
        ("init=none.keras", "none.keras does not exist"),
        ("epochs=x", "epochs must be a whole number"),
    ],
)
def test_bad_input_is_one_line_and_code_two(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, named: str
) -> None:
    assert main(arguments(folder, tmp_path, change)) == 2
    error = capsys.readouterr().err
    assert re.search(named, error)
    assert error.count("\n") == 1


def test_weights_of_another_architecture_are_refused_as_a_start(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init = ROOT / "weights" / "ssrnet_fairface.keras"
    assert main(arguments(folder, tmp_path, f"init={init}")) == 2
    assert "is of another architecture" in capsys.readouterr().err


@pytest.mark.slow
def test_a_checkpoint_of_another_network_is_refused(
    folder: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], keras: Any
) -> None:
    shutil.copytree(whole, tmp_path / "out")
    wider = tmp_path / "backbone.keras"
    rgb = keras.Input((16, 16, 3))
    keras.Model(rgb, keras.layers.Conv2D(7, 3)(rgb)).save(wider)
    changes = (f"backbone={wider}", "frozen_epochs=1", "epochs=5")
    assert main(arguments(folder, tmp_path / "out", *changes, more=["--resume"])) == 2
    assert "is of another architecture" in capsys.readouterr().err
    (tmp_path / "out" / "checkpoint.npz").write_bytes(b"PK\x03\x04")
    assert main(arguments(folder, tmp_path / "out", *changes, more=["--resume"])) == 2
    assert "is not a checkpoint" in capsys.readouterr().err


def test_the_schedule_warms_up_and_ends_low() -> None:
    values = [factor(used, 0.04) for used in np.linspace(0, 1.2, 121)]
    assert values[0] < 0.05
    assert max(values) == pytest.approx(1.0, abs=0.01)
    assert values[100] == values[120] == pytest.approx(0.01)
    assert np.argmax(values) == 4


def test_minutes_hasten_the_schedule_and_the_frozen_epochs_have_their_own_rate() -> None:
    settings = TrainingSettings(
        epochs=10, minutes=10.0, rate=1.0, frozen_epochs=2, frozen_rate=5.0, warmup=0.0
    )
    assert rate(settings, 1.0, 0.0, 100) == 5.0
    assert rate(settings, 2.0, 0.0, 100) == pytest.approx(1.0)
    assert rate(settings, 2.0, 5.0, 100) == pytest.approx(rate(settings, 6.0, 0.0, 100))
    at_the_end = rate(settings, 10.0, 0.0, 100)
    assert at_the_end == rate(settings, 3.0, 10.0, 100) == pytest.approx(0.01)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize("frozen", [0, 2])
def test_minutes_do_not_shorten_the_warm_up_below_250_steps(frozen: int, schedule: str) -> None:
    settings = TrainingSettings(
        epochs=10, minutes=60.0, rate=1.0, warmup=0.1, frozen_epochs=frozen, schedule=schedule
    )
    # A slow machine: the time for the warm-up, 6 minutes, is over after 30 of 1000 steps.
    after = [rate(settings, frozen + step / 1000, 0.2 * step, 1000) for step in range(300)]
    assert after[0] == pytest.approx(0.02)
    assert after[30] == pytest.approx(0.02 + 0.98 * 30 / 250)
    assert (np.diff(after[:125]) > 0).all()
    # A fast one: its warm-up is the share of all steps.
    unlimited = dataclasses.replace(settings, minutes=0.0)
    for step in (0, 100, 700, 1500, 9000):
        epochs = frozen + step / 1000
        assert rate(settings, epochs, 0.0, 1000) == rate(unlimited, epochs, 0.0, 1000)
    # Few steps in all: the warm-up is not longer than without a limit.
    start = frozen + 0.1 * (10 - frozen)
    assert rate(settings, start, 1.0, 20) == pytest.approx(rate(unlimited, start, 0.0, 20))


def test_the_rate_still_falls_to_the_end_if_time_ends_in_the_warm_up() -> None:
    settings = TrainingSettings(epochs=10, minutes=60.0, rate=1.0, warmup=0.1)
    assert rate(settings, 0.2, 60.0, 1000) == pytest.approx(0.01)


def test_metrics_leave_out_what_is_unknown() -> None:
    chips = chip_sets.chips(16)
    sure = {
        "age": np.zeros((16, 101), np.float32),
        "gender": np.eye(2, dtype=np.float32)[chips.female.astype(int)],
        "race": np.eye(5, dtype=np.float32)[chips.race],
    }
    sure["age"][:, 15] = 1
    found = held_out.metrics(sure, chips)
    known = np.isfinite(chips.age_low)
    outside = np.maximum(0, np.maximum(chips.age_low - 15, 15 - chips.age_high))[known]
    assert found["age_mae_years"] == pytest.approx(outside.mean())
    assert found["cs5"] == pytest.approx((outside <= 5).mean())
    assert found["gender_accuracy"] == found["ethnicity_accuracy"] == 1
    nothing = chips.take(np.array([7]))
    assert "age_mae_years" not in held_out.metrics({k: v[:1] for k, v in sure.items()}, nothing)


def test_the_spread_that_is_measured_covers_what_it_should() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(30, 70, 4000)
    years = np.arange(101)
    seen = true + rng.normal(0, 6, 4000)
    bell = np.exp(-0.5 * ((years - seen[:, None]) / 3) ** 2)
    answers = {"age": (bell / bell.sum(1, keepdims=True)).astype(np.float32)}
    chips = chip_sets.chips(1).take(np.zeros(4000, np.int64))
    for low, high in ((true, true), (true // 10 * 10, true // 10 * 10 + 9)):
        labels = dataclasses.replace(
            chips, age_low=low.astype(np.float32), age_high=high.astype(np.float32)
        )
        scale = held_out.spread_scale(answers, labels)
        assert scale_at(scale, true.astype(np.float32)) == pytest.approx(2, rel=0.15)


def test_the_spread_is_fitted_by_told_age_and_told_ages_without_faces_have_no_factor() -> None:
    rng = np.random.default_rng(0)
    told = rng.uniform(20, 70, 8000).astype(np.float32)
    error = rng.normal(0, np.where(told < 45, 4, 8)).astype(np.float32)
    spread = np.full(8000, 4, np.float32)
    scale = fit_spread_scale(told, spread, told + error, told + error)
    assert isinstance(scale, tuple)
    factors = dict(scale)
    assert min(factors) == 20 and max(factors) == 70
    assert factors[30] == pytest.approx(1, rel=0.1) and factors[60] == pytest.approx(2, rel=0.1)
    assert written(scale) == {f"{age:g}": factor for age, factor in factors.items()}
    assert written(1.5) == 1.5


def test_a_heavy_set_does_not_decide_the_spread_alone() -> None:
    rng = np.random.default_rng(1)
    sizes = np.repeat([6400, 400], [6400, 400])
    told = np.full(6800, 30, np.float32)
    truth = (told + rng.normal(0, np.where(sizes == 400, 8, 4))).astype(np.float32)
    spread = np.full(6800, 4, np.float32)
    alike, rooted = (
        float(scale_at(fit_spread_scale(told, spread, truth, truth, weights), told)[0])
        for weights in (None, 1 / np.sqrt(sizes))
    )
    assert alike == pytest.approx(1.05, abs=0.06)
    assert 1.15 < rooted < 1.5


def test_the_events_are_read_by_tensorflow(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    from tensorflow.core.util import event_pb2

    history = [{"epoch": e, "minutes": e / 2, "loss": 3.5 / e, "rate": 1e-3} for e in (1, 300)]
    write_log(tmp_path, history)
    (path,) = (tmp_path / "tensorboard").iterdir()
    events = [
        event_pb2.Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))
    ]
    assert events[0].file_version == "brain.Event:2"
    for event, line in zip(events[1:], history, strict=True):
        assert event.step == line["epoch"]
        found = {value.tag: value.simple_value for value in event.summary.value}
        assert found == pytest.approx({"loss": line["loss"], "rate": line["rate"]})


def start(folder: Path, out: Path, *changes: str, **options: Any) -> subprocess.Popen[str]:
    code = "import sys; from training.train import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments(folder, out, *changes)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.slow
def test_ctrl_c_ends_with_one_line_and_a_checkpoint(folder: Path, tmp_path: Path) -> None:
    changes = ("epochs=100000", "workers=2")
    process = start(folder, tmp_path, *changes, start_new_session=True)
    while not (tmp_path / "checkpoint.npz").exists():
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # the terminal sends it to the workers, too
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    said = [line for line in error.splitlines() if line.startswith("train: ")]
    assert len(said) == 1 and "--resume" in said[0]
    assert "Traceback" not in error
    epochs = str(len(log(tmp_path)) + 1)
    again = arguments(folder, tmp_path, f"epochs={epochs}", more=["--resume"])
    assert main(again) == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs limits")
def test_a_full_disk_is_one_line_and_what_was_there_stays(
    folder: Path, tmp_path: Path, whole: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    before = (out / "checkpoint.npz").read_bytes()

    code = (  # files of more than 2 kB cannot be written, as on a full disk
        "import resource, sys, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048));"
        "from training.train import main; sys.exit(main(sys.argv[1:]))"
    )
    command = arguments(folder, out, "frozen_epochs=1", "epochs=6", more=["--resume"])
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("train: ")]
    assert len(said) == 1 and "cannot write" in said[0]
    assert "Traceback" not in done.stderr
    assert (out / "checkpoint.npz").read_bytes() == before
    assert not list(out.rglob(".*"))
