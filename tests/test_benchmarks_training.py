import re

import pytest

from benchmarks.training import main, noise, pipeline_rate
from training.fitting.settings import TrainingSettings

SMALL = ["architecture=vggface", "width=0.01", "size=32", "age=expectation", "ethnicity=true"]


def test_the_chips_have_labels_of_all_kinds() -> None:
    chips = noise(12)
    assert chips.images.shape == (12, 112, 112, 3)
    assert (chips.age_low == chips.age_high).any()
    assert (chips.age_low < chips.age_high).any()
    assert set(chips.female) == {0, 1}


def test_the_pipeline_makes_images() -> None:
    assert pipeline_rate(TrainingSettings(batch=8, size=16), workers=0, steps=4) > 0


@pytest.mark.slow
def test_a_backend_that_is_installed_has_a_rate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    changes = [*SMALL, "batch=8", "workers=0", "precision=float32"]
    command = ["--settings", "mobilenetv2", "--backends", "tensorflow", "--workers", "0"]
    assert main([*command, "--steps", "3", "--set", *changes]) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert re.fullmatch(r"\| mobilenetv2 \| [\d,]+ \|", last)
