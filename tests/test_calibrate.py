import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from estimators.weights import MANIFEST, find_weights
from tests import chip_sets
from training import calibrate
from training.fitting.spreads import written


def test_a_calibration_is_written_into_the_manifest_of_the_network(tmp_path: Path) -> None:
    chip_sets.write_set(tmp_path, "one", 240)
    manifest = tmp_path / "manifest.json"
    shutil.copy(MANIFEST, manifest)
    common = ["ssrnet_fairface", "--data", str(tmp_path), "--sets", "one:train"]
    calibrate.run(calibrate.parse_arguments([*common, "--dry-run"]), manifest)
    assert manifest.read_text() == MANIFEST.read_text()
    calibrate.run(calibrate.parse_arguments(common), manifest)
    before, after = (json.loads(path.read_text()) for path in (MANIFEST, manifest))
    scale = after["models"]["ssrnet_fairface"].pop("spread_scale")
    before["models"]["ssrnet_fairface"].pop("spread_scale")
    assert after == before
    for name in ("ssrnet_fairface.onnx", "ssrnet_fairface.keras"):
        (tmp_path / name).touch()
    read = find_weights("ssrnet_fairface", "ssrnet", tmp_path).spread_scale
    assert written(read) == scale


def test_a_set_counts_with_the_root_of_its_faces_and_only_held_out_rows_where_asked(
    tmp_path: Path,
) -> None:
    chip_sets.write_set(tmp_path, "large", 64)
    chip_sets.write_set(tmp_path, "small", 16)
    sets = ["large:train", "small:train"]
    chips, weights = calibrate.gather(tmp_path, sets, None, 0)
    np.testing.assert_allclose(weights, np.repeat([1 / 8, 1 / 4], [64, 16]))
    few, _ = calibrate.gather(tmp_path, sets, 0.25, 0)
    assert len(chips) == 80 and len(few) < 40


def test_an_unknown_network_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chip_sets.write_set(tmp_path, "one", 8)
    where = ["--data", str(tmp_path), "--sets", "one:train"]
    assert calibrate.main(["nothing", *where]) == 2
    assert "has no 'nothing'; known: dlibresnet_fairface" in capsys.readouterr().err


def test_ctrl_c_is_one_line_and_leaves_the_manifest_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chip_sets.write_set(tmp_path, "one", 8)
    done: list[str] = []

    def interrupted(name: str, *_: object) -> float:
        if done:
            raise KeyboardInterrupt
        done.append(name)
        return 1.5

    monkeypatch.setattr(calibrate, "calibrate", interrupted)
    entered: list[str] = []
    monkeypatch.setattr(calibrate, "enter_spread_scale", lambda name, *_: entered.append(name))
    names = ["ssrnet_fairface", "mobilenetv2_fairface"]
    assert calibrate.main([*names, "--data", str(tmp_path), "--sets", "one:train"]) == 130
    assert capsys.readouterr().err == "calibrate: interrupted; nothing was changed\n"
    assert done == names[:1] and not entered


def test_rows_that_a_network_learnt_from_do_not_measure_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chip_sets.write_set(tmp_path, "fairface", 40)
    command = ["mobilenetv2_fairface", "--data", str(tmp_path), "--dry-run", "--sets"]
    assert calibrate.main([*command, "fairface:train"]) == 2
    assert "mobilenetv2_fairface learnt from fairface; choose other" in capsys.readouterr().err
    assert calibrate.main([*command, "fairface:train", "--held-out", "0.2"]) == 0
    assert calibrate.main([*command, "fairface:test"]) == 0


def test_sets_of_different_sizes_are_joined_at_the_smaller_one(tmp_path: Path) -> None:
    chip_sets.write_set(tmp_path, "small", 8, side=32)
    chip_sets.write_set(tmp_path, "large", 8, side=48)
    chips, _ = calibrate.gather(tmp_path, ["large:train", "small:train"], None, 0)
    assert chips.images.shape == (16, 32, 32, 3)
    assert chips.files[8] == "train0.png"
