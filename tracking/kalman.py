"""The motion model of one tracked box: a Kalman filter with constant velocity.

State and measurement are those of the paper (section 3.2):

    x = [u, v, s, r, u', v', s']      z = [u, v, s, r]

u, v the centre in pixels, s the area in square pixels, r the aspect ratio, which is
taken to be constant; dashes are changes per frame.

Reference: Bewley, Ge, Ott, Ramos, Upcroft, "Simple Online and Realtime Tracking",
ICIP 2016, arXiv 1602.00763. Differs: the paper leaves the noise open, here every
standard deviation is a fraction of the box (side = sqrt(s) for positions, s for areas,
r for the ratio), so that a face of 24 px and one of 600 px are followed alike; process
noise is that of a random acceleration, constant within a frame (Bar-Shalom, Li,
Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001, section
6.3.2); velocities fade while the box is missed; the area cannot become negative.
"""

import numpy as np
from filterpy.kalman import KalmanFilter
from numpy.typing import ArrayLike

from structures import Float32
from tracking.boxes import Float64, cxcysr_to_xyxy, xyxy_to_cxcysr

MEASURED_CENTRE = 0.05  # standard deviations, as fractions of side, area and ratio
MEASURED_AREA = 0.2
MEASURED_RATIO = 0.08
FIRST_VELOCITY = 0.15  # of the side per frame: how fast a newly seen face may move
FIRST_GROWTH = 0.05  # of the area per frame
ACCELERATION = 0.03  # of the side per frame and frame
GROWTH_CHANGE = 0.01  # of the area per frame and frame
RATIO_DRIFT = 0.01  # of the ratio per frame
FADE = 0.85  # of its velocity a missed box keeps per frame
MOST_SHRINKING = 0.5  # of its area a box keeps at least per predicted frame

_H = np.eye(4, 7)


def transition(keep: float = 1.0) -> Float64:
    """Return F (7, 7): positions add their velocity, velocities are multiplied by `keep`."""
    matrix = np.eye(7)
    matrix[:3, 4:] = np.eye(3)
    matrix[4:, 4:] *= keep
    return matrix


_STEADY, _FADING = transition(), transition(FADE)


def measurement_noise(side: float, area: float, ratio: float) -> Float64:
    """Return R (4, 4) for a box of this side (px), area (px²) and aspect ratio."""
    centre = MEASURED_CENTRE * side
    return np.diag(np.square([centre, centre, MEASURED_AREA * area, MEASURED_RATIO * ratio]))


def process_noise(side: float, area: float, ratio: float) -> Float64:
    """Return Q (7, 7): in each pair (position, velocity) g gᵀ σ² with g = (1/2, 1)."""
    acceleration = ACCELERATION * side
    variances = np.square([acceleration, acceleration, GROWTH_CHANGE * area])
    noise = np.zeros((7, 7))
    noise[range(3), range(3)] = variances / 4
    noise[range(3), range(4, 7)] = noise[range(4, 7), range(3)] = variances / 2
    noise[range(4, 7), range(4, 7)] = variances
    noise[3, 3] = (RATIO_DRIFT * ratio) ** 2
    return noise


class BoxFilter:
    """Where one box is, how it moves, and how sure that is; one `predict` is one frame.

    The three measured pairs and the ratio do not mix in any matrix, so corrections are convex
    combinations of prediction and measurement, and area and ratio stay positive.
    """

    def __init__(self, box: ArrayLike) -> None:
        """Start at rest on `box`, (4,) xyxy pixels, finite and with positive sides."""
        self._filter = KalmanFilter(dim_x=7, dim_z=4)
        self._filter.H = _H
        self._filter.x = np.concatenate([xyxy_to_cxcysr(box), np.zeros(3)])
        side, area, ratio = self._scales()
        velocity = FIRST_VELOCITY * side
        self._filter.P = np.diag(np.zeros(7))
        self._filter.P[:4, :4] = measurement_noise(side, area, ratio)
        self._filter.P[4:, 4:] = np.diag(np.square([velocity, velocity, FIRST_GROWTH * area]))

    def predict(self, fading: bool = False) -> None:
        """Advance by one frame; `fading` reduces the velocities (a missed box)."""
        area = self._filter.x[2]
        self._filter.predict(F=_FADING if fading else _STEADY, Q=process_noise(*self._scales()))
        self._filter.x[2] = max(self._filter.x[2], MOST_SHRINKING * area)

    def update(self, box: ArrayLike) -> None:
        """Correct by a measured `box`, (4,) xyxy pixels, finite and with positive sides."""
        self._filter.update(xyxy_to_cxcysr(box), R=measurement_noise(*self._scales()))

    @property
    def box(self) -> Float32:
        """The estimate, (4,) float32 xyxy pixels."""
        return cxcysr_to_xyxy(self._filter.x[:4]).astype(np.float32)

    @property
    def next_box(self) -> Float32:
        """Where `predict` would move the box, (4,) float32 xyxy pixels."""
        ahead = _STEADY @ self._filter.x
        ahead[2] = max(ahead[2], MOST_SHRINKING * self._filter.x[2])
        return cxcysr_to_xyxy(ahead[:4]).astype(np.float32)

    @property
    def state(self) -> Float64:
        """A copy of x, (7,)."""
        return np.array(self._filter.x)

    @property
    def covariance(self) -> Float64:
        """A copy of P, (7, 7)."""
        return np.array(self._filter.P)

    def _scales(self) -> tuple[float, float, float]:
        """Side, area and ratio, in which the noise is expressed."""
        area, ratio = float(self._filter.x[2]), float(self._filter.x[3])
        return area**0.5, area, ratio
