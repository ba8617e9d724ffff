import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Never

import numpy as np
import pytest

from errors import WeightsError
from estimators import make_estimator, weights
from tests import chip_sets
from training.tools import export
from training.tools.manifest import ModelEntry, check_entry, enter_model

# Keras converts TensorFlow's variables in a way that NumPy 2 no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def keras() -> Any:
    pytest.importorskip("tensorflow")
    return pytest.importorskip("keras")


@pytest.fixture
def own(keras: Any, tmp_path: Path) -> Path:
    """A tiny trained network with the record of its training."""
    from estimators.networks import vggface
    from estimators.networks.heads import Heads

    keras.utils.set_random_seed(0)
    path = tmp_path / "run" / "mine.keras"
    path.parent.mkdir()
    vggface.build(Heads(age="classes7"), width=1 / 64, size=32).save(path)
    path.with_suffix(".json").write_text('{"architecture": "vggface", "spread_scale": 1.4}')
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of weights with an empty manifest, in place of the real one."""
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"defaults": {}, "models": {}}')
    return folder


def test_a_new_model_is_entered_once_with_all_that_is_said_of_it(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text('{"defaults": {}, "models": {}}')
    (tmp_path / "new.onnx").write_text("x")
    said = ModelEntry("new", "ssrnet", 6.5, "some faces", "everyone")
    for missing in ("architecture", "spread_scale", "trained_on", "terms"):
        values = {key: getattr(said, key) for key in ModelEntry.__slots__} | {missing: None}
        with pytest.raises(WeightsError, match=f"needs --{missing.replace('_', '-')}"):
            check_entry(ModelEntry(**values), replace=False, path=path)
    with pytest.raises(WeightsError, match="--architecture must be one of"):
        check_entry(ModelEntry("new", "resnet", 1.0, "a", "b"), replace=False, path=path)
    card = enter_model(said, {"onnx": tmp_path / "new.onnx"}, path)
    entry = weights.read_manifest(path)["models"]["new"]
    assert entry == {
        "architecture": "ssrnet",
        "files": {
            "onnx": {"file": "new.onnx", "sha256": weights.file_sha256(tmp_path / "new.onnx")}
        },
        "spread_scale": 6.5,
        "trained_on": "some faces",
        "terms": "everyone",
        "card": "new.md",
    }
    assert "everyone" in card.read_text()
    with pytest.raises(WeightsError, match="add --replace"):
        check_entry(ModelEntry("new"), replace=False, path=path)
    card.write_text("mine")
    again = check_entry(ModelEntry("new", spread_scale=7.0), replace=True, path=path)
    enter_model(again, {"onnx": tmp_path / "new.onnx"}, path)
    entry = weights.read_manifest(path)["models"]["new"]
    assert (entry["spread_scale"], entry["terms"], card.read_text()) == (7.0, "everyone", "mine")
    counted = {"of": "some", "faces": []}
    enter_model(again, {"onnx": tmp_path / "new.onnx"}, path, counted)
    assert weights.read_manifest(path)["models"]["new"]["confusion"] == counted


def test_what_is_no_keras_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.keras").write_text("no network")
    for name, reason in {"none.keras": "not an existing", "text.keras": "not a Keras"}.items():
        assert export.main([str(tmp_path / name)]) == 2
        error = capsys.readouterr().err
        assert reason in error
        assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["text.keras"]


def test_a_damaged_record_is_not_installed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "mine.keras"
    source.write_text("a network")
    source.with_suffix(".json").write_text("half of")
    assert export.main([str(source), "--name", "new"], folder) == 2
    error = capsys.readouterr().err
    assert "cannot read" in error and "mine.json" in error and error.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]


def test_formats_that_are_none_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        export.main(["a.keras", "--formats", "onnx,pickle"])
    assert ended.value.code == 2
    assert "want a list of onnx,int8,savedmodel,keras" in capsys.readouterr().err


@pytest.mark.slow
def test_a_network_is_installed_with_all_its_files_and_used(
    own: Path, folder: Path, keras: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--terms", "everyone", "--trained-on", "bright and dark faces"]
    formats = ["--formats", "onnx,savedmodel,keras"]
    assert export.main([str(own), "--name", "new", *words, *formats], folder) == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        *("manifest.json", "new.json", "new.keras", "new.md", "new.onnx", "new_savedmodel")
    ]
    entry = weights.read_manifest(folder / "manifest.json")["models"]["new"]
    assert set(entry["files"]) == {"keras", "onnx"}
    assert entry["spread_scale"] == 1.4
    estimator = make_estimator("vggface", str(folder / "new.onnx"), engine="openvino")
    chips = chip_sets.images(4)
    answers = keras.saving.load_model(own)(chips.astype(np.float32))
    found = estimator.estimate(chips)
    np.testing.assert_allclose(found.female_prob, np.asarray(answers["gender"])[:, 1], atol=1e-4)
    code = (
        "import tensorflow as tf, sys;"
        f"print(sorted(tf.saved_model.load('{folder / 'new_savedmodel'}').signatures))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "serving_default" in done.stdout
    assert export.main([str(own), "--name", "new", *words], folder) == 2
    assert "add --replace" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("cheap", [True, False])
def test_int8_is_kept_only_where_it_costs_little(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], cheap: bool
) -> None:
    pytest.importorskip("onnxruntime.quantization")
    from training.tools.int8 import quantize_if_cheap

    chip_sets.write_set(tmp_path, "small", 16)
    source = export.export(own)[0]
    most_years = 99 if cheap else -99
    kept = quantize_if_cheap(source, tmp_path, ["small"], most_years, most_points=101)
    said = capsys.readouterr().out
    assert "int8 on 8 test rows of small" in said
    assert ("not kept" in said) != cheap
    assert kept == (own.with_suffix(".int8.onnx") if cheap else None)
    assert own.with_suffix(".int8.onnx").exists() == cheap


@pytest.mark.slow
def test_an_export_that_fails_half_way_changes_nothing(
    own: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(copy: Path, *_: Any) -> Never:
        copy.with_suffix(".onnx").write_text("half of it")
        raise OSError(28, "No space left on device")

    before = json.loads((folder / "manifest.json").read_text())
    words = ["--terms", "everyone", "--trained-on", "faces", "--formats", "onnx,savedmodel"]
    assert export.main([str(own), "--name", "new", *words], folder, full) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]
    assert json.loads((folder / "manifest.json").read_text()) == before


@pytest.mark.parametrize(
    "command",
    [
        *("estimators.export", "estimators.facenet_convert"),
        *("training.int8", "training.average", "training.balance"),
    ],
)
def test_a_command_keeps_its_name_and_says_what_it_does(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", command, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stderr == ""
    usage, _, rest = done.stdout.partition("\n\n")
    assert usage.startswith(f"usage: python -m {command} ")
    assert len(rest.splitlines()[0]) > 20


@pytest.mark.slow
def test_a_failed_export_leaves_nothing_behind(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    keras = pytest.importorskip("keras")
    rgb = keras.Input((8, 8, 3))
    age = keras.layers.Flatten()(keras.ops.erfinv(rgb / 300))  # which ONNX does not have
    path = tmp_path / "odd.keras"
    keras.Model(rgb, {"age": age}).save(path)
    with pytest.raises(WeightsError, match="lacks"):
        export.export(path)
    assert list(tmp_path.iterdir()) == [path]
