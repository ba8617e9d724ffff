"""Counting a network's errors on rows that it never learnt from."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import WeightsError
from estimators.weights import find_weights, read_manifest
from people.correction import GROUPS
from structures import Estimates, Image
from tests.chip_sets import chips, write_set
from training import confusion
from training.fitting.held_out import hold_out
from training.records import words


class ByBrightness:
    """Takes bright faces for women of 65 and dark ones for men of 15, as the sets have them."""

    input_size = 32
    has_ethnicity = False

    def estimate(self, chips: Image) -> Estimates:
        bright = chips.mean(axis=(1, 2, 3)) > 100
        years = np.where(bright, 65, 15).astype(np.float32)
        return Estimates(years, np.ones_like(years), bright.astype(np.float32))

    def submit(self, chips: Image) -> Any:
        return lambda: self.estimate(chips)


def trained(held_out: float, learnt: int, **settings: Any) -> dict[str, Any]:
    """A record of a training on the set `small`."""
    return {
        "settings": {"sets": ["small"], "held_out": held_out, "seed": 3, **settings},
        "data": {"learnt": {"rows": learnt}},
    }


def test_all_train_rows_count_of_a_set_that_was_not_learnt_from(tmp_path: Path) -> None:
    write_set(tmp_path, "small", 12)
    found = confusion.learnt_nothing_from("net", ["small"], {}, {"fairface"}, tmp_path)
    assert [file[:5] for file in found.files] == ["train"] * 12


def test_of_a_set_that_was_learnt_from_only_the_rows_held_out_count(tmp_path: Path) -> None:
    write_set(tmp_path, "small", 40)
    learnt, out = hold_out(chips(40).groups, 0.2, 3)
    record = trained(0.2, len(learnt))
    found = confusion.learnt_nothing_from("net", ["small"], record, {"small"}, tmp_path)
    assert found.files.tolist() == chips(40).files[out].tolist()


def test_all_splits_that_were_learnt_from_count_also_when_given_apart(tmp_path: Path) -> None:
    write_set(tmp_path, "small", 40, tests=40)
    learnt, out = hold_out(np.concatenate([chips(40).groups] * 2), 0.2, 3)
    record = trained(0.2, len(learnt), sets=["small:train", "small:test"])
    found = confusion.learnt_nothing_from("net", ["small"], record, {"small"}, tmp_path)
    assert len(found) == len(out)
    assert {file[:4] for file in found.files} == {"trai", "test"}


@pytest.mark.parametrize(
    ("record", "what"),
    [
        ({}, "no record of its training"),
        (trained(0.0, 32), "no record of its training"),
        (trained(0.2, 32, init="first.keras"), "may have learnt"),
        (trained(0.2, 7), "trained on other rows"),
    ],
)
def test_where_nobody_knows_what_was_learnt_nothing_is_counted(
    record: dict[str, Any], what: str, tmp_path: Path
) -> None:
    write_set(tmp_path, "small", 40)
    with pytest.raises(WeightsError, match=what):
        confusion.learnt_nothing_from("net", ["small"], record, {"small"}, tmp_path)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "no record of its training says which sets"),
        ('{"learnt_from": null}', "no record of its training says which sets"),
        ('{"settings": {"sets": ["other"], "init": "a.keras"}}', "no record of its training says"),
        ('{"learnt_from": ["other", "small"], "settings": {"sets": ["other"], "held_out": 0.2}}',
         "learnt from small, and no record"),
        ("{", "cannot read .*; restore or remove it"),
    ],
)  # fmt: skip
def test_a_file_whose_record_does_not_say_what_it_learnt_from_is_refused(
    text: str | None, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(tmp_path, "small", 12)
    own = tmp_path / "own.onnx"
    own.touch()
    if text is not None:
        own.with_suffix(".json").write_text(text)
    assert confusion.main([str(own), "--data", str(tmp_path), "--sets", "small"]) == 2
    assert re.search(what, capsys.readouterr().err)


def test_a_set_is_known_by_its_whole_name() -> None:
    assert {"fairface", "us_congress", "utkface"} <= words("FairFace, us-congress: UTKFace's rows")
    assert "utk" not in words("UTKFace train rows")


def test_a_face_counts_in_the_row_of_its_group_and_the_column_of_the_one_told() -> None:
    some = chips(8)
    told = ByBrightness().estimate(some.images)
    told.age_years[1] = 35.0
    counts = confusion.confusion(told, some)
    old_women, young_women = GROUPS.index(("female", "60+")), GROUPS.index(("female", "20-39"))
    boys = GROUPS.index(("male", "10-19"))
    # The eighth has no age.
    assert (counts[old_women, old_women], counts[old_women, young_women]) == (2, 1)
    assert (counts[boys, boys], counts.sum()) == (4, 7)


def test_the_command_writes_beside_ones_own_file_what_the_programs_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(tmp_path, "small", 40)
    own = tmp_path / "own.onnx"
    own.touch()
    own.with_suffix(".json").write_text('{"settings": {"architecture": "ssrnet", "sets": []}}')
    arguments = [str(own), "--data", str(tmp_path), "--sets", "small"]
    assert confusion.main(arguments, lambda *_, **__: ByBrightness()) == 0
    found = find_weights(str(own), "ssrnet").confusion
    assert found is not None
    assert sum(map(sum, found)) == 35
    assert json.loads(own.with_suffix(".json").read_text())["settings"]["architecture"] == "ssrnet"
    assert "35 train rows of small" in capsys.readouterr().out


def test_weights_that_learnt_from_everything_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["mobilenetv2_fairface", "--data", str(tmp_path), "--sets", "fairface"]
    assert confusion.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("confusion: mobilenetv2_fairface learnt from fairface")
    assert len(said.splitlines()) == 1


def test_the_shipped_confusions_are_of_rows_that_were_never_learnt_from() -> None:
    for name, entry in read_manifest()["models"].items():
        found = find_weights(name, entry["architecture"]).confusion
        assert (found is None) == ("confusion" not in entry)
        if found is not None:
            assert len(found) == len(GROUPS)
            assert f"{sum(map(sum, found)):,} train rows of" in entry["confusion"]["of"]
    default = read_manifest()["defaults"]["mobilenetv2"]
    assert find_weights(default, "mobilenetv2").confusion is not None
