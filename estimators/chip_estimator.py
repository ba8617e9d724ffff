"""Any network with age and gender heads, behind the `Estimator` contract."""

from collections.abc import Callable

import numpy as np

from engines import Engine
from engines.pieces import Outputs
from errors import WeightsError
from estimators.age import AGE_WIDTHS, decode_age
from structures import ETHNICITIES, Estimates, Image

_HEAD_WIDTHS = {"age": AGE_WIDTHS, "gender": (2,), "race": (len(ETHNICITIES),)}


class ChipEstimator:
    """Runs chips through an engine and decodes its heads; see `estimators.Estimator`."""

    def __init__(self, engine: Engine, spread_scale: float) -> None:
        """Wrap `engine`, and run one grey chip through it to warm it up and check its heads.

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
        """Describe chips in one forward pass.

        Args:
            chips: (B, S, S, 3) uint8, RGB, aligned; not changed. B may be 0.

        Returns:
            B estimates in the order of the chips.

        Raises:
            ValueError: chips of another shape or dtype.
        """
        return self.submit(chips)()

    def submit(self, chips: Image) -> Callable[[], Estimates]:
        """Start `estimate` and return what waits for its answer.

        A GPU works meanwhile: submit the next chips before collecting these.

        Args:
            chips: as for `estimate`; to be left alone until the answer is there.

        Raises:
            ValueError: chips of another shape or dtype.
        """
        want = (self.input_size, self.input_size, 3)
        if chips.ndim != 4 or chips.shape[1:] != want or chips.dtype != np.uint8:
            raise ValueError(f"chips: want (B, {want}) uint8, got {chips.shape} {chips.dtype}")
        if len(chips) == 0:
            return self._nothing
        collect = self._engine.submit(chips)
        return lambda: self._decode(collect())

    def _nothing(self) -> Estimates:
        none = np.zeros(0, np.float32)
        ethnicity = np.zeros((0, len(ETHNICITIES)), np.float32) if self.has_ethnicity else None
        return Estimates(none, none, none, ethnicity)

    def _decode(self, outputs: Outputs) -> Estimates:
        years, spread = decode_age(outputs["age"], self._spread_scale)
        female = outputs["gender"][:, 1].astype(np.float32)
        return Estimates(years, spread, female, outputs.get("race"))
