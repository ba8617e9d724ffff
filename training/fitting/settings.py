"""The settings of a training run: one readable file, and changes from the command line.

A settings file is TOML, `key = value` line by line. `TrainingSettings` lists all keys with
their meaning, default and limits; docs/training.md shows them as a table.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import DatasetError
from estimators import ARCHITECTURES
from estimators.networks.facenet_heads import NETWORKS
from estimators.networks.heads import AGE_HEADS, Heads

_WIDTHS = ("mobilenetv2", "ssrnet", "vggface")  # architectures of which `width` is a setting
_OWN_SIZE = ("ssrnet", "transfer")  # and those that `size` does not change
CONFIGS = Path(__file__).resolve().parent.parent / "configs"
_TYPES = {"str": "a string", "int": "a whole number", "float": "a number", "bool": "true or false"}


def _text(default: str, meaning: str, choices: Iterable[str] = ()) -> Any:
    return field(default=default, metadata={"meaning": meaning, "choices": tuple(choices)})


def _number(default: float, meaning: str, low: float = 0, high: float = float("inf")) -> Any:
    return field(default=default, metadata={"meaning": meaning, "low": low, "high": high})


def _flag(default: bool, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """All that determines the result of a run, besides its data."""

    # The network
    architecture: str = _text("mobilenetv2", "which network", ARCHITECTURES)
    backbone: str = _text("", "weights below the heads: imagenet, dlib or a file; empty = random")
    init: str = _text("", "a trained .keras file of the same architecture to start from")
    age: str = _text("expectation", "how age is answered", AGE_HEADS)
    ethnicity: bool = _flag(True, "whether there is a head for ethnicity")
    hidden: int = _number(0, "units of a dense layer of each head, 0 = none")
    dropout: float = _number(0.0, "share of features dropped before the heads", 0, 0.95)
    age_blur: float = _number(0.0, "expectation: years that the distribution is blurred by", 0, 20)
    width: float = _number(1.0, "factor on channels: mobilenetv2, ssrnet, vggface", 0.01, 8)
    wide: bool = _flag(False, "ssrnet: the widths of the weights that come with the program")
    size: int = _number(0, "side of the chips, pixels, not of ssrnet, transfer; 0 = own", 0, 1024)
    # The heads of facenet alone
    vector: str = _text("features", "facenet: what heads read", ("features", "embedding"))
    network: str = _text("modern", "facenet: how heads are built", NETWORKS)
    blocks: int = _number(2, "facenet, modern: layers", 1, 20)
    input_dropout: float = _number(0.2, "facenet, modern: share of the vector dropped", 0, 0.95)
    l2: float = _number(0.0, "facenet, published: factor on the squares of kernels", 0, 1)
    min_age: int = _number(0, "facenet: leave out faces that are younger, or may be", 0, 100)
    # The data
    sets: list[str] = field(
        default_factory=lambda: ["fairface"],
        metadata={"meaning": "sets to learn: NAME, or NAME:SPLIT+SPLIT"},
    )
    limit: int = _number(0, "only so many rows of each set, for trials; 0 = all")
    held_out: float = _number(0.04, "share of rows held out to choose the epoch", 0.001, 0.5)
    folds: int = _number(0, "cross-validation in so many parts; 0 = none", 0, 100)
    seed: int = _number(0, "decides weights, order, augmentation and what is held out")
    # Fitting
    epochs: int = _number(40, "passes over the data", 1)
    epoch_steps: int = _number(0, "most steps of an epoch, 0 = all rows: for slow machines")
    minutes: float = _number(0.0, "most minutes of fitting, which the schedule then fits; 0 = any")
    batch: int = _number(256, "chips in a step", 1)
    optimizer: str = _text("adamw", "how weights are changed", ("adamw", "adam", "sgd"))
    rate: float = _number(2e-3, "highest learning rate", 1e-8, 10)
    schedule: str = _text("cosine", "of the learning rate", ("cosine", "constant"))
    warmup: float = _number(
        0.04, "share of the steps in which the rate rises, with minutes at least 250 steps", 0, 0.9
    )
    decay: float = _number(0.05, "weight decay of kernels (adamw)", 0, 1)
    clip: float = _number(2.0, "largest norm of the gradient, 0 = any")
    ema: float = _number(0.9985, "momentum of the average of weights, 0 = no average", 0, 0.99999)
    frozen_epochs: int = _number(0, "first epochs in which only the heads learn")
    frozen_rate: float = _number(0.0, "learning rate of these, 0 = as above", 0, 10)
    frozen_share: float = _number(
        0.0, "share of the backbone's layers, from the input on, that never learn", 0, 1
    )
    frozen_norms: bool = _flag(False, "keep the backbone's normalisation as it came, always")
    keep: str = _text("best", "the epoch that is written", ("best", "last"))
    patience: int = _number(0, "stop after so many epochs without a better one, 0 = never")
    precision: str = _text("float32", "of the maps", ("float32", "mixed_bfloat16", "mixed_float16"))
    jit: bool = _flag(False, "compile by XLA on TensorFlow (JAX always does)")
    workers: int = _number(2, "processes that augment, 0 = a thread of this one", 0, 256)
    # What an error costs
    age_loss: str = _text(
        "label_distribution",
        "how exact ages are learnt",
        ("label_distribution", "mean_variance", "cross_entropy"),
    )
    label_sd: float = _number(2.0, "label_distribution: years around a label", 0.1, 20)
    distance_weight: float = _number(0.15, "weight of a year between mean and label or range")
    mean_weight: float = _number(0.2, "mean_variance: weight of the squared distance / 2")
    variance_weight: float = _number(0.05, "mean_variance: weight of the variance")
    range_weight: float = _number(0.7, "weight of the likelihood of an age range")
    open_years: float = _number(
        0.0, "mean years past the start of a range such as 70 and over, 0 = any in it", 0, 30
    )
    gender_weight: float = _number(1.0, "weight of gender")
    ethnicity_weight: float = _number(0.7, "weight of ethnicity")
    gender_smoothing: float = _number(0.06, "share of a label given to all classes", 0, 0.9)
    ethnicity_smoothing: float = _number(0.08, "the same of ethnicity", 0, 0.9)
    # Rare people: exponents on how often a class occurs, 0 = as in the data, 1 = all alike
    draw_by_age: float = _number(0.0, "draw chips of rare decades of age more often", 0, 1)
    weigh_age: float = _number(0.0, "weigh rare decades (or age classes) more", 0, 1)
    weigh_gender: float = _number(0.0, "weigh the rarer gender more", 0, 1)
    weigh_ethnicity: float = _number(0.0, "weigh rare ethnicities more", 0, 1)
    # Variants and the teacher
    strength: float = _number(1.0, "strength of the augmentation", 0, 1)
    teacher: str = _text("", "networks to learn from, by commas: names of the manifest or files")
    teacher_weight: float = _number(0.5, "share of the loss that is its answers'", 0, 1)
    teacher_slack: float = _number(3.0, "ssr: years by which it may contradict a label")
    imitate: str = _text("", "whose vector is learnt beside the labels: dlib, facenet or a file")
    imitate_weight: float = _number(
        1.0, "weight of its squared distance, relative to nothing learnt"
    )

    def heads(self) -> Heads:
        """Return the heads, for the `build` of an architecture."""
        return Heads(self.age, self.ethnicity, self.hidden, self.dropout, self.age_blur)

    def public(self) -> dict[str, Any]:
        """Return all settings by name; of files only the name, as folders are private."""
        values = dataclasses.asdict(self)
        for key in ("backbone", "init", "teacher", "imitate"):
            values[key] = ",".join(Path(name).name for name in values[key].split(","))
        return values


def read_settings(
    path: Path, changes: Iterable[str] = (), unused: Collection[str] = ()
) -> TrainingSettings:
    """Read a settings file and change some of it.

    Args:
        path: the file, or the name of one in training/configs/ without its ending.
        changes: "key=value" each; a list is separated by commas.
        unused: keys that the command does not use: refused in `changes`, ignored in the file.

    Raises:
        DatasetError: no such file, unknown keys, or bad values; one line.
    """
    known = CONFIGS / f"{path}.toml"
    if not path.is_file() and known.is_file():
        path = known
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        names = ", ".join(sorted(config.stem for config in CONFIGS.glob("*.toml")))
        raise DatasetError(
            f"cannot read {path}: {error.strerror}; want a settings file or one of {names}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is no TOML file: {error}") from error
    checked = {key: _checked(key, value, str(path)) for key, value in values.items()}
    checked = {key: value for key, value in checked.items() if key not in unused}
    for change in changes:
        key, equals, text = (part.strip() for part in change.partition("="))
        if not equals:
            raise DatasetError(f"--set {change}: want key=value")
        if key in unused:
            raise DatasetError(f"--set {change}: this command has no use for {key}; leave it out")
        checked[key] = _checked(key, _value(key, text), "--set")
    return _consistent(TrainingSettings(**checked))


def settings_table() -> list[tuple[str, str, str]]:
    """Return key, default and meaning of all settings, as text."""
    rows = []
    for item in dataclasses.fields(TrainingSettings):
        default = getattr(TrainingSettings(), item.name)
        meaning = item.metadata["meaning"]
        if choices := item.metadata.get("choices"):
            meaning += f": {', '.join(choices)}"
        rows.append((item.name, _toml(default), meaning))
    return rows


def to_toml(settings: TrainingSettings) -> str:
    """Return all settings as the text of a settings file."""
    values = dataclasses.asdict(settings)
    return "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())


def _fields() -> dict[str, dataclasses.Field[Any]]:
    return {item.name: item for item in dataclasses.fields(TrainingSettings)}


def _value(key: str, text: str) -> Any:
    """Return the text after --set as a value; quotes and brackets may be omitted."""
    item = _fields().get(key)
    if item is None or item.type == "str":
        return text.strip("\"'")
    if item.type == "list[str]" and not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _checked(key: str, value: Any, where: str) -> Any:
    """Return a setting's value; DatasetError if the key is unknown or the value bad."""
    item = _fields().get(key)
    if item is None:
        raise DatasetError(f"{where}: unknown setting {key!r}; known: {', '.join(_fields())}")
    kind, limits = item.type, item.metadata
    if kind == "list[str]":
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            raise DatasetError(f"{where}: {key} must be a list of strings, got {value!r}")
        return value
    if kind == "float" and type(value) is int:
        value = float(value)
    if type(value).__name__ != kind:
        raise DatasetError(f"{where}: {key} must be {_TYPES[str(kind)]}, got {value!r}")
    if limits.get("choices") and value not in limits["choices"]:
        raise DatasetError(
            f"{where}: {key} must be one of {', '.join(limits['choices'])}, got {value!r}"
        )
    if "low" in limits and not limits["low"] <= value <= limits["high"]:
        raise DatasetError(
            f"{where}: {key} must be a number from {limits['low']} to {limits['high']}, got {value}"
        )
    return value


def _consistent(settings: TrainingSettings) -> TrainingSettings:
    """Return the settings; DatasetError if two of them contradict each other."""
    name = settings.architecture
    ssrnet = name == "ssrnet"
    if settings.width != 1 and (settings.wide or name not in _WIDTHS):
        raise DatasetError(f"width changes {', '.join(_WIDTHS)} only, and not with wide = true")
    if settings.size and name in _OWN_SIZE:
        raise DatasetError(f"{name} has a size of its own; leave out size")
    if ssrnet and (settings.age != "ssr" or settings.ethnicity or settings.hidden):
        raise DatasetError("ssrnet needs age = 'ssr', ethnicity = false and hidden = 0")
    if settings.folds == 1:
        raise DatasetError("folds must be 0 or at least 2, got 1")
    if settings.patience and settings.keep == "last":
        raise DatasetError("patience waits for a better epoch; it needs keep = 'best'")
    if settings.frozen_epochs > settings.epochs:
        raise DatasetError(
            f"frozen_epochs ({settings.frozen_epochs}) must be at most epochs ({settings.epochs})"
        )
    return settings


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
