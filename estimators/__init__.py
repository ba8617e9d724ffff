"""Age, gender and ethnicity of aligned chips: the contract, and the choice of networks.

An estimator is an architecture, its weights and the engine that runs them; `make_estimator`
puts the three together.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from engines import Engine, make_engine
from engines.pieces import Outputs
from errors import WeightsError
from estimators.age import AGE_WIDTHS, SpreadScale, decode_age
from structures import ETHNICITIES, Estimates, Float32, Image

# Each architecture has a module in `networks` that builds it. These come with weights (facenet
# with those of the heads); the others are for networks that a user has trained.
WITH_WEIGHTS = ("dlibresnet", "mobilenetv2", "ssrnet", "facenet")
DEFAULT = WITH_WEIGHTS[0]
_OTHERS = ("efficientnetlite0", "inceptionv3", "vggface", "transfer")
ARCHITECTURES = (*WITH_WEIGHTS, *_OTHERS)
_HEAD_WIDTHS = {"age": AGE_WIDTHS, "gender": (2,), "race": (len(ETHNICITIES),)}


class Estimator(Protocol):
    """Describes faces, for any number of threads at once.

    Attributes:
        input_size: side of the chips it takes, pixels.
        has_ethnicity: whether `Estimates.ethnicity_probs` are set.
    """

    input_size: int
    has_ethnicity: bool

    def estimate(self, chips: Image) -> Estimates:
        """Estimate aligned chips, (B, S, S, 3) uint8 RGB, in one forward pass, in their order.

        B may be 0; the chips are not changed. ValueError for another shape or dtype.
        """
        ...


class ChipEstimator:
    """Runs chips through an engine and decodes its heads; see `Estimator`."""

    def __init__(self, engine: Engine, spread_scale: SpreadScale) -> None:
        """Wrap `engine`; one grey chip warms it up and checks its heads.

        Args:
            engine: network with outputs `age` (B, 101), (B, 1) or of age classes, `gender`
                (B, 2) = (male, female) and perhaps `race` (B, 5).
            spread_scale: calibration of the age spread, see `age.decode_age`.

        Raises:
            WeightsError: the network does not run, or has other outputs.
        """
        self.input_size = engine.input_size
        self._engine = engine
        self._spread_scale = spread_scale
        grey = np.full((1, self.input_size, self.input_size, 3), 128, np.uint8)
        try:
            outputs = engine.submit(grey)()
        except RuntimeError as error:
            raise WeightsError(
                f"the engine {engine.name} cannot run these weights; choose others with --weights"
            ) from error
        widths = {n: value.shape[1] if value.ndim == 2 else None for n, value in outputs.items()}
        fits = all(widths.get(name) in _HEAD_WIDTHS[name] for name in ("age", "gender"))
        if not fits or ("race" in widths and widths["race"] not in _HEAD_WIDTHS["race"]):
            raise WeightsError(
                f"these weights have the outputs {widths}, but age of "
                f"{' or '.join(map(str, AGE_WIDTHS))} and gender of 2 are needed; "
                "choose others with --weights"
            )
        self.has_ethnicity = "race" in widths

    def estimate(self, chips: Image) -> Estimates:
        """See `Estimator`."""
        return self.submit(chips)()

    def submit(self, chips: Image) -> Callable[[], Estimates]:
        """Start `estimate` and return a function that waits for its result.

        A GPU works meanwhile: submit the next chips before collecting these, and change none
        of them until their result has come.
        """
        want = (self.input_size, self.input_size, 3)
        if chips.ndim != 4 or chips.shape[1:] != want or chips.dtype != np.uint8:
            raise ValueError(f"chips: want (B, {want}) uint8, got {chips.shape} {chips.dtype}")
        if len(chips) == 0:
            return self._nothing
        collect = self._engine.submit(chips)
        return lambda: decode(collect(), self._spread_scale)

    def _nothing(self) -> Estimates:
        none = np.zeros(0, np.float32)
        ethnicity = np.zeros((0, len(ETHNICITIES)), np.float32) if self.has_ethnicity else None
        return Estimates(none, none, none, ethnicity)


def decode(outputs: Outputs, spread_scale: SpreadScale) -> Estimates:
    """Read a network's outputs, each (B, ...) float.

    Raises:
        WeightsError: some are no numbers: no table may hold them.
    """
    years, spread = decode_age(outputs["age"], spread_scale)
    female = outputs["gender"][:, 1].astype(np.float32)
    ethnicity = outputs.get("race")
    if not all(np.isfinite(v).all() for v in (years, spread, female, ethnicity) if v is not None):
        raise WeightsError(
            "the network's answers are no numbers (NaN); choose other --weights, or another "
            "--engine or --precision"
        )
    return Estimates(years, spread, female, ethnicity)


def estimate_both_ways(estimator: Estimator, chips: Image) -> Estimates:
    """Estimate chips, (B, S, S, 3) uint8 RGB, and their mirror images; return the mean of both."""
    both = estimator.estimate(np.concatenate([chips, chips[:, :, ::-1]]))

    def mean(values: Float32) -> Float32:
        return (values[: len(chips)] + values[len(chips) :]) / np.float32(2)

    years, spread, female = map(mean, (both.age_years, both.age_spread_years, both.female_prob))
    ethnicity = None if both.ethnicity_probs is None else mean(both.ethnicity_probs)
    return Estimates(years, spread, female, ethnicity)


def make_estimator(
    name: str,
    weights: str | None = None,
    engine: str = "auto",
    threads: int = 0,
    device: str = "auto",
    precision: str = "auto",
) -> Estimator:
    """Build an estimator called `name`, one of `ARCHITECTURES`.

    `weights` are a name of weights/manifest.json or a file; None = the default. For the other
    arguments see `engines.make_engine`.

    Raises:
        ValueError: unknown architecture, engine, device or precision.
        WeightsError: weights missing, damaged or of another architecture.
        EngineError: engine not installed, or without the device or precision.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"estimator must be one of {', '.join(ARCHITECTURES)}, got {name!r}")
    from estimators.weights import find_weights

    chosen = find_weights(weights, name)
    make: Callable[..., Engine] = make_engine
    if name == "facenet":
        from estimators.facenet import make_facenet

        make = make_facenet
    return ChipEstimator(make(engine, chosen, threads, device, precision), chosen.spread_scale)
