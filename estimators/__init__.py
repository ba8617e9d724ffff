"""Age, gender and ethnicity of aligned chips: the contract, and the menu of networks.

Networks differ in architecture, weights and the engine that runs them; `make_estimator`
puts the three together.
"""

from collections.abc import Callable
from typing import Protocol

from structures import Estimates, Image

# Each has a module here that builds it. Weights come with the first two, and for facenet with
# the heads; the others are for those that a user has trained.
ARCHITECTURES = ("mobilenetv2", "ssrnet", "facenet", "inceptionv3", "vggface", "transfer")


class Estimator(Protocol):
    """Describes faces, for any number of threads at once.

    Attributes:
        input_size: side of the chips it wants, pixels.
        has_ethnicity: whether `Estimates.ethnicity_probs` will be filled.
    """

    input_size: int
    has_ethnicity: bool

    def estimate(self, chips: Image) -> Estimates:
        """Describe (B, S, S, 3) uint8 RGB chips in one forward pass; B may be 0."""
        ...


def make_estimator(
    name: str,
    weights: str | None = None,
    engine: str = "auto",
    threads: int = 0,
    device: str = "auto",
    precision: str = "auto",
) -> Estimator:
    """Build an estimator.

    Args:
        name: one of `ARCHITECTURES`.
        weights: a name of weights/manifest.json or a file; None = the default ones.
        engine: "auto" or one of `engines.choose.ENGINES`.
        threads: of the engine on the CPU, 0 = as many as there are cores.
        device: one of `engines.choose.DEVICES`.
        precision: one of `engines.choose.PRECISIONS`.

    Raises:
        ValueError: unknown architecture, engine, device or precision.
        WeightsError: weights missing, damaged or of another architecture.
        EngineError: engine not installed, or without the device or precision.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"estimator must be one of {', '.join(ARCHITECTURES)}, got {name!r}")
    from engines import Engine, make_engine
    from estimators.chip_estimator import ChipEstimator
    from estimators.weights import find_weights

    chosen = find_weights(weights, name)
    make: Callable[..., Engine] = make_engine
    if name == "facenet":
        from estimators.facenet import make_facenet

        make = make_facenet
    runs = make(engine, chosen, threads, device, precision)
    return ChipEstimator(runs, chosen.spread_scale)
