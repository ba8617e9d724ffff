import json
import os
import shutil
from pathlib import Path

import pytest

import estimators
from errors import WeightsError
from estimators import make_estimator, weights
from training.tools.manifest import update_manifest

NAMES = sorted(weights.read_manifest()["models"])


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_file_has_the_hash_terms_and_card_of_the_manifest(name: str) -> None:
    entry = weights.read_manifest()["models"][name]
    chosen = weights.find_weights(name, entry["architecture"])
    for file_format in ("keras", "onnx"):
        assert chosen.path(file_format).is_file()
    assert chosen.terms
    assert (weights.WEIGHTS_DIR / entry["card"]).is_file()


def test_an_architecture_of_the_menu_has_default_weights_or_asks_for_ones_own() -> None:
    for name in estimators.ARCHITECTURES:
        if name in weights.read_manifest()["defaults"]:
            assert weights.find_weights(None, name).architecture == name
        else:
            with pytest.raises(WeightsError, match=f"with {name}; give your own with --weights"):
                weights.find_weights(None, name)


def test_help_names_the_architectures_that_have_default_weights() -> None:
    assert set(estimators.WITH_WEIGHTS) == set(weights.read_manifest()["defaults"])


def test_weights_of_another_architecture_are_refused() -> None:
    with pytest.raises(WeightsError, match="--estimator mobilenetv2"):
        make_estimator("ssrnet", "mobilenetv2_fairface")


def test_weights_are_found_by_their_name_alone() -> None:
    assert weights.named_weights("ssrnet_fairface").architecture == "ssrnet"
    with pytest.raises(WeightsError, match="no weights called 'typo'; known: dlibresnet_fairface,"):
        weights.named_weights("typo")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        make_estimator("mobilenetv2", "nowhere.onnx")
    with pytest.raises(WeightsError, match="cannot be read: File name too long"):
        make_estimator("mobilenetv2", f"{'x' * 300}.onnx")


def test_ones_own_file_has_the_spread_that_was_measured_beside_it(tmp_path: Path) -> None:
    own = tmp_path / "mine.onnx"
    own.touch()
    shipped = weights.find_weights(None, "ssrnet").spread_scale
    assert weights.find_weights(str(own), "ssrnet").spread_scale == shipped
    assert weights.find_weights(str(own), "inceptionv3").spread_scale == 1
    tables = ('{"spread_scale": {"20": 1.5, "5": 1}}', ((5, 1), (20, 1.5))), ("[]", 1)
    for text, scale in (('{"spread_scale": 1.7}', 1.7), ("{}", 1), ("no json", 1), *tables):
        own.with_suffix(".json").write_text(text)
        assert weights.find_weights(str(own), "inceptionv3").spread_scale == scale


def test_an_onnx_file_of_earlier_weights_is_not_taken_for_those_named(tmp_path: Path) -> None:
    named, made = tmp_path / "mine.keras", tmp_path / "mine.onnx"
    named.touch()
    made.touch()
    assert weights.find_weights(str(named), "ssrnet").path("onnx") == made
    os.utime(made, (1, 1))
    with pytest.raises(WeightsError, match=r"no \.onnx file as new as the \.keras file; make it"):
        weights.find_weights(str(named), "ssrnet").path("onnx")
    assert weights.find_weights(str(named), "ssrnet").path("keras") == named
    assert weights.find_weights(str(made), "ssrnet").path("onnx") == made


def test_a_file_of_ones_own_may_be_spelt_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "M.ONNX"
    path.write_bytes((weights.WEIGHTS_DIR / "ssrnet_fairface.onnx").read_bytes())
    assert weights.find_weights(str(path), "ssrnet").path("onnx") == path
    assert make_estimator("ssrnet", str(path), engine="openvino").input_size == 64


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file that fails to read")
def test_a_shipped_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    shutil.copy(weights.MANIFEST, tmp_path)
    (tmp_path / "mobilenetv2_fairface.onnx").symlink_to("/proc/self/mem")
    with pytest.raises(WeightsError, match=r"fairface\.onnx cannot be read: "):
        weights.find_weights(None, "mobilenetv2", tmp_path).path("onnx")


def test_a_damaged_shipped_file_is_refused(tmp_path: Path) -> None:
    shutil.copy(weights.MANIFEST, tmp_path)
    content = (weights.WEIGHTS_DIR / "mobilenetv2_fairface.onnx").read_bytes()
    (tmp_path / "mobilenetv2_fairface.onnx").write_bytes(content[:-1] + b"x")
    with pytest.raises(WeightsError, match="damaged"):
        weights.find_weights(None, "mobilenetv2", tmp_path).path("onnx")


def test_a_manifest_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text("{")
    with pytest.raises(WeightsError, match="restore"):
        weights.read_manifest(path)
    assert json.loads(weights.MANIFEST.read_text())["defaults"]


def test_the_manifest_takes_the_hashes_of_its_own_files_only(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    entry = {"files": {"keras": {"file": "a.keras", "sha256": "old"}}}
    manifest.write_text(json.dumps({"models": {"onnx_only": {"files": {}}, "a": entry}}))
    before = manifest.read_text()
    for folder in (tmp_path, tmp_path / "elsewhere"):
        folder.mkdir(exist_ok=True)
        (folder / "a.keras").write_text(folder.name)
        (folder / "a.onnx").touch()
    elsewhere = tmp_path / "elsewhere" / "a.keras"
    assert not update_manifest(
        "keras", elsewhere, {"onnx": elsewhere.with_suffix(".onnx")}, manifest
    )
    assert manifest.read_text() == before
    own = tmp_path / "elsewhere" / ".." / "a.keras"
    assert update_manifest("keras", own, {"onnx": own.with_suffix(".onnx")}, manifest)
    files = weights.read_manifest(manifest)["models"]["a"]["files"]
    assert files["keras"]["sha256"] == weights.file_sha256(tmp_path / "a.keras")
    assert files["onnx"]["sha256"] == weights.file_sha256(tmp_path / "a.onnx")
