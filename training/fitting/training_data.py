"""Training data of a run: the train rows of its sets, and a teacher's outputs for them."""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from engines.openvino_engine import OpenVinoEngine
from engines.pieces import chip_side
from errors import DatasetError, WeightsError
from estimators.embedders import Embedder, make_embedder
from estimators.facenet import make_facenet
from estimators.networks.backbones import load_keras
from estimators.weights import Weights, file_sha256, find_weights, read_manifest
from training.chips import Chips, join, load_train, shrink
from training.fitting.held_out import Answers, joined
from training.fitting.settings import TrainingSettings
from training.result_files import writing

log = logging.getLogger(__name__)
Network = Callable[[NDArray[np.uint8]], Answers]

_BATCH = 64


def teacher_answers(choice: str, chips: Chips, cache: Path) -> Answers:
    """Return the teacher's outputs for every chip, averaged with its mirror image's.

    Args:
        choice: a name of the manifest, or the path of a .keras or .onnx file.
        chips: the chips.
        cache: folder that keeps the outputs; a file there belongs to one teacher and one set
            of chips, by their contents.

    Returns:
        Output of the teacher -> `(N, K)` float32.

    Raises:
        WeightsError: no such teacher, or it is no network for chips.
    """
    weights = _teacher_weights(choice)
    path = weights.path("onnx" if "onnx" in weights.files else "keras")
    kept = cache / f"teacher-{file_sha256(path)[:12]}-{digest_of(chips, chips.images)[:12]}.npz"
    return _kept(
        kept, lambda: _of_both_sides(*_network(weights, path), chips.images, "the teacher")
    )


def mean_answers(choices: str, chips: Chips, cache: Path) -> Answers:
    """Return the mean of the outputs of teachers, whose names a comma separates; see above.

    WeightsError, too, where they do not answer in the same form.
    """
    each = [teacher_answers(choice.strip(), chips, cache) for choice in choices.split(",")]
    forms = [{name: value.shape[1] for name, value in answers.items()} for answers in each]
    if any(form != forms[0] for form in forms):
        raise WeightsError(
            f"the teachers {choices} answer in different forms ({forms}), which have no mean; "
            "choose ones of the same form"
        )
    return {name: np.mean([answers[name] for answers in each], axis=0) for name in each[0]}


def vectors_of(embedder: Embedder, chips: Chips, cache: Path) -> NDArray[np.float32]:
    """Return the vector of each chip, (N, W): of it and its mirror image, averaged.

    They are centred, and scaled to a mean square length of 1. `cache` is the folder that keeps
    them as computed; a file there belongs to one embedder and one set of chips.
    """

    def network(images: NDArray[np.uint8]) -> Answers:
        return {"embedding": embedder.embed(images)["embedding"]}

    kept = cache / f"vectors-{embedder.name}-{digest_of(chips, chips.images)[:12]}.npz"
    size = embedder.input_size
    found = _kept(kept, lambda: _of_both_sides(network, size, chips.images, embedder.name))
    vectors = found["embedding"] - found["embedding"].mean(0)
    return np.asarray(vectors / np.sqrt((vectors**2).sum(1).mean()), np.float32)


def _kept(path: Path, compute: Callable[[], Answers]) -> Answers:
    """Return the arrays of a file, which is made of what is computed if there is no whole one."""
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        pass
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        log.warning("%s cannot be read (%s); computing it again", path, error)
    answers = compute()
    with writing(path) as beside, beside.open("wb") as file:
        np.savez(file, allow_pickle=False, **answers)
    return answers


def _of_both_sides(network: Network, size: int, images: NDArray[np.uint8], what: str) -> Answers:
    """Run a network, which takes chips of `size`, on chips and on their mirror images; average."""
    parts: list[Answers] = []
    for start in tqdm(range(0, len(images), _BATCH), f"running {what}", disable=None):
        chips = shrink(images[start : start + _BATCH], size)
        plain, mirrored = network(chips), network(np.ascontiguousarray(chips[:, :, ::-1]))
        parts.append({name: (plain[name] + mirrored[name]) / np.float32(2) for name in plain})
    return joined(parts)


def _teacher_weights(choice: str) -> Weights:
    models = read_manifest()["models"]
    if choice in models:
        return find_weights(choice, models[choice]["architecture"])
    path = Path(choice)
    if not path.is_file() or path.suffix not in (".keras", ".onnx"):
        known = ", ".join(models)
        raise WeightsError(
            f"no teacher {choice}: want an existing .keras or .onnx file, or one of {known}"
        )
    return Weights(path.stem, "", {path.suffix.removeprefix("."): path}, {}, 1.0, "")


def _network(weights: Weights, path: Path) -> tuple[Network, int]:
    """Return the teacher as a function of `(B, S, S, 3)` uint8 RGB chips, and its S."""
    if path.suffix == ".onnx":
        facenet = weights.architecture == "facenet"
        engine = make_facenet("openvino", weights) if facenet else OpenVinoEngine(path)
        return lambda chips: dict(engine.submit(chips)()), engine.input_size
    model: Any = load_keras(path)
    size = chip_side([tuple(node.shape) for node in model.inputs], path)
    if not isinstance(model.output, dict) or not {"age", "gender"} <= set(model.output):
        raise WeightsError(f"the teacher {path} has no outputs age and gender")

    def predict(chips: NDArray[np.uint8]) -> Answers:
        answers = model.predict_on_batch(chips.astype(np.float32))
        return {name: np.asarray(value, np.float32) for name, value in answers.items()}

    return predict, size


def digest_of(chips: Chips, *arrays: NDArray[Any]) -> str:
    """Return a hash of the names of chips, of their groups, and of arrays about them."""
    digest = hashlib.sha256("\n".join([*chips.files, *chips.groups]).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Training data of a network.

    Attributes:
        chips: all train rows, the sets concatenated.
        answers: a teacher's outputs, each `(N, K)` float32, or None.
        vectors: those to imitate, `(N, W)` float32, see `vectors_of`; or None.
        digest: a hash of labels, answers and vectors, by which a resumed run recognises its data.
    """

    chips: Chips
    answers: Answers | None
    vectors: NDArray[np.float32] | None
    digest: str


def load_data(folder: Path, settings: TrainingSettings, cache: Path) -> TrainingData:
    """Read the train rows of all sets in `folder`, and run the teacher on them.

    `cache` is the folder that keeps the teacher's outputs and the vectors to imitate. StreamError
    if a set is missing or damaged, or the teacher is.
    """
    if not folder.is_dir():
        raise DatasetError(f"no folder {folder}; --data needs one with NAME.tar and NAME.csv")
    parts = [load_train(folder, name, settings.limit or None) for name in settings.sets]
    chips = join(parts)
    answers = mean_answers(settings.teacher, chips, cache) if settings.teacher else None
    require_labels(chips, settings, answers or {})
    vectors = None
    if settings.imitate:
        vectors = vectors_of(make_embedder(settings.imitate), chips, cache)
    taught = [answer for _, answer in sorted((answers or {}).items())]
    taught += [] if vectors is None else [vectors]
    return TrainingData(chips, answers, vectors, digest_of(chips, *chips.labels, *taught))


def require_labels(chips: Chips, settings: TrainingSettings, answers: Answers) -> None:
    """Raise DatasetError if nothing teaches one of the network's outputs.

    Such an output would say the same of everybody, and seem sure of it. A teacher's `answers`
    (empty without one) stand in for labels.
    """
    taught = answers if settings.teacher_weight > 0 else ()
    known = {
        "age": "age" in taught or bool(np.isfinite(chips.age_low).any()),
        "gender": "gender" in taught or bool(np.isfinite(chips.female).any()),
        "ethnicity": not settings.ethnicity or "race" in taught or bool((chips.race >= 0).any()),
    }
    for label, is_known in known.items():
        if not is_known:
            also = ", or set ethnicity=false" * (label == "ethnicity")
            raise DatasetError(
                f"none of {len(chips)} faces of {', '.join(settings.sets)} has a known {label}, "
                f"so the network would say the same of everybody; fill in the column {label}{also}"
            )
