from pathlib import Path

import pytest

from errors import DatasetError
from training.fitting.settings import (
    CONFIGS,
    TrainingSettings,
    read_settings,
    settings_table,
    to_toml,
)

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_published_settings_file_is_read_by_its_name(path: Path) -> None:
    settings = read_settings(Path(path.stem))
    assert settings != TrainingSettings()
    again = read_settings(path, ["seed=7", "sets=a,b", "teacher=x.keras", "rate=1e-3", "wide=true"])
    assert (again.seed, again.sets, again.teacher) == (7, ["a", "b"], "x.keras")
    assert (again.rate, again.wide) == (1e-3, True)


@pytest.mark.parametrize(
    ("text", "change", "named"),
    [
        ("epoch = 3", "", r"unknown setting 'epoch'; known: .*epochs"),
        ("epochs = 2.5", "", r"epochs must be a whole number, got 2\.5"),
        ("", "epochs=many", r"--set: epochs must be a whole number, got 'many'"),
        ("", "epochs=true", r"epochs must be a whole number, got True"),
        ("", "rate=0", r"rate must be a number from"),
        ("", "age=years", r"age must be one of expectation, ssr, "),
        ("sets = 'utkface'", "", r"sets must be a list of strings"),
        ("", "epochs", r"want key=value"),
        ("epochs = ", "", r"is no TOML file"),
        ("", "architecture=ssrnet", r"ssrnet needs age = 'ssr'"),
        ("", "frozen_epochs=99", r"frozen_epochs \(99\) must be at most"),
        ("architecture = 'dlibresnet'", "width=0.5", r"width changes mobilenetv2, ssrnet, vggface"),
        (
            "architecture = 'ssrnet'\nage = 'ssr'\nethnicity = false\nwide = true",
            "width=0.5",
            r"and not with wide = true",
        ),
        (
            "architecture = 'ssrnet'\nage = 'ssr'\nethnicity = false",
            "size=32",
            r"ssrnet has a size of its own",
        ),
    ],
)
def test_wrong_settings_are_named_in_one_line(
    tmp_path: Path, text: str, change: str, named: str
) -> None:
    path = tmp_path / "my.toml"
    path.write_text(text)
    with pytest.raises(DatasetError, match=named) as caught:
        read_settings(path, [change] if change else [])
    assert "\n" not in str(caught.value)


def test_what_a_command_has_no_use_for_is_refused_or_left_out(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("strength = 0.5\nrate = 0.1")
    with pytest.raises(
        DatasetError, match="--set strength=1: this command has no use for strength"
    ):
        read_settings(path, ["strength=1"], unused={"strength"})
    assert read_settings(path, ["rate=0.2"], unused={"strength"}) == TrainingSettings(rate=0.2)


def test_a_missing_settings_file_lists_those_that_come_with_the_program() -> None:
    with pytest.raises(DatasetError, match=r"or one of .*inceptionv3_multitask, mobilenetv2"):
        read_settings(Path("nowhere"))


def test_settings_written_as_a_file_are_read_back(tmp_path: Path) -> None:
    exact = ["seed=20261201", "rate=0.00012345678", 'teacher=C:\\new\\"x".keras']
    settings = read_settings(Path("ssrnet_finetune"), ["minutes=2.5", "sets=a,b", *exact])
    assert (settings.seed, settings.rate) == (20261201, 0.00012345678)
    path = tmp_path / "again.toml"
    path.write_text(to_toml(settings))
    assert read_settings(path) == settings


def test_the_document_tells_every_setting() -> None:
    text = (ROOT / "docs" / "training.md").read_text("utf-8")
    for key, default, meaning in settings_table():
        assert f"| `{key}` | `{default}` | {meaning} |" in text
