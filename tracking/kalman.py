"""The motion model of tracked boxes: Kalman filters with constant velocity, all in one batch.

State and measurement are those of the paper (section 3.2):

    x = [u, v, s, r, u', v', s']      z = [u, v, s, r]

u, v the centre in pixels, s the area in square pixels, r the aspect ratio, which is
taken to be constant; dashes are changes per second.

`unit_model` makes filterpy's filter of a box of side, area and ratio 1; the batch takes F, Q
and R from it and does for all boxes at once what filterpy does for one.

Reference: Bewley, Ge, Ott, Ramos, Upcroft, "Simple Online and Realtime Tracking",
ICIP 2016, arXiv 1602.00763. Differs: the paper leaves the noise open, here every
standard deviation is a fraction of the box (side = sqrt(s) for positions, s for areas,
r for the ratio), so that a face of 24 px and one of 600 px are followed alike; process
noise is that of a white acceleration in continuous time (Bar-Shalom, Li, Kirubarajan,
"Estimation with Applications to Tracking and Navigation", 2001, section 6.2.2), so that
two steps of half the time are one step; velocities fade while a box is missed; the area
cannot become negative.
"""

import math
from functools import lru_cache

import numpy as np
from filterpy.kalman import KalmanFilter
from numpy.typing import NDArray

from structures import Float32
from tracking.boxes import Float64, cxcysr_to_xyxy, xyxy_to_cxcysr

MEASURED_CENTRE = 0.05  # standard deviations, as fractions of side, area and ratio
MEASURED_AREA = 0.2
MEASURED_RATIO = 0.08
FIRST_VELOCITY = 3.75  # of the side per second: how fast a newly seen face may move
FIRST_GROWTH = 1.25  # of the area per second
ACCELERATION = 3.0  # of the side per second, after one second
GROWTH_CHANGE = 1.25  # of the area per second, after one second
RATIO_DRIFT = 0.05  # of the ratio, after one second
FADING = 1.0  # a missed box's velocity falls by 1/e in 1 / FADING seconds
LEAST_AREA = 1e-4  # of its area a box keeps at least in a second

_MEASURED = np.array([MEASURED_CENTRE, MEASURED_CENTRE, MEASURED_AREA, MEASURED_RATIO])
_DRIVEN = np.array([ACCELERATION, ACCELERATION, GROWTH_CHANGE])
_FIRST_VELOCITIES = np.array([FIRST_VELOCITY, FIRST_VELOCITY, FIRST_GROWTH])
_FIRST_SPREAD = np.diag(np.square([*_MEASURED, *_FIRST_VELOCITIES]))  # (7, 7)
_SCALE_OF = [2, 2, 2, 3, 2, 2, 2]  # area or ratio for each number of the state,
_SIDES = [0, 1, 4, 5]  # and for these the side


@lru_cache(maxsize=64)
def unit_model(dt_s: float, fading: float = 0.0) -> KalmanFilter:
    """Make the filter of a box of side, area and ratio 1 for a step of `dt_s` seconds.

    For another box, entry i, j of its Q, R and P is to be multiplied by the scales of i and j.
    Velocities fall as exp(-`fading` t). The caller must not change it: it is made once.
    """
    model = KalmanFilter(dim_x=7, dim_z=4)
    keep = math.exp(-fading * dt_s)
    model.F = np.eye(7)
    model.F[:3, 4:] = np.eye(3) * ((1 - keep) / fading if fading else dt_s)
    model.F[4:, 4:] *= keep
    model.H = np.eye(4, 7)
    model.R = np.diag(_MEASURED**2)
    model.Q = np.zeros((7, 7))
    power = _DRIVEN**2
    model.Q[range(3), range(3)] = power * dt_s**3 / 3
    model.Q[range(3), range(4, 7)] = model.Q[range(4, 7), range(3)] = power * dt_s**2 / 2
    model.Q[range(4, 7), range(4, 7)] = power * dt_s
    model.Q[3, 3] = RATIO_DRIFT**2 * dt_s
    model.P = _FIRST_SPREAD.copy()
    return model


class BoxFilters:
    """Where N boxes are, how they move, and how sure that is.

    The three measured pairs and the ratio do not mix in any matrix, so corrections are convex
    combinations of prediction and measurement, and area and ratio stay positive.

    Attributes:
        x: (N, 7) float64, the states.
        covariance: (N, 7, 7) float64.
    """

    def __init__(self) -> None:
        """Start with no boxes."""
        self.x: Float64 = np.zeros((0, 7))
        self.covariance: Float64 = np.zeros((0, 7, 7))

    def __len__(self) -> int:
        return len(self.x)

    def add(self, boxes: Float32) -> None:
        """Start at rest on `boxes`, (M, 4) xyxy pixels, finite and with positive sides."""
        x = np.zeros((len(boxes), 7))
        x[:, :4] = xyxy_to_cxcysr(boxes)
        self.x = np.concatenate([self.x, x])
        spread = _FIRST_SPREAD * _products(x)
        self.covariance = np.concatenate([self.covariance, spread])

    def keep(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> None:
        """Drop all boxes but `rows`."""
        self.x, self.covariance = self.x[rows], self.covariance[rows]

    def predict(self, dt_s: float, missed: NDArray[np.bool_]) -> None:
        """Advance by `dt_s` seconds; the velocities of `missed`, (N,), fade."""
        motion = _motion(dt_s, missed)
        noise = unit_model(dt_s).Q * _products(self.x)
        self.x = self._ahead(dt_s, motion)
        self.covariance = motion @ self.covariance @ motion.swapaxes(-2, -1) + noise

    def update(self, rows: NDArray[np.intp], boxes: Float32) -> None:
        """Correct `rows`, (M,), by the measured `boxes`, (M, 4) xyxy, as `add` wants them."""
        x, p = self.x[rows], self.covariance[rows]
        # H is the first four rows of the unit matrix.
        seen_p = p[:, :4]  # (M, 4, 7), as is the gain transposed
        spread = seen_p[:, :, :4] + unit_model(0.0).R * _products(x)[:, :4, :4]
        gain = np.linalg.solve(spread, seen_p)
        off = xyxy_to_cxcysr(boxes) - x[:, :4]
        self.x[rows] = x + (off[:, None] @ gain)[:, 0]
        self.covariance[rows] = p - gain.transpose(0, 2, 1) @ seen_p

    def move(self, matrix: Float64) -> None:
        """Move all boxes with the picture: `matrix`, (2, 3), is a shift, turn and zoom."""
        zoom = matrix[0, 0] ** 2 + matrix[1, 0] ** 2  # of areas
        turn = np.eye(7)
        turn[:2, :2] = turn[4:6, 4:6] = matrix[:, :2]
        turn[2, 2] = turn[6, 6] = zoom
        self.x = self.x @ turn.T
        self.x[:, :2] += matrix[:, 2]
        self.covariance = turn @ self.covariance @ turn.T

    def boxes(self) -> Float32:
        """The estimates, (N, 4) float32 xyxy pixels."""
        return cxcysr_to_xyxy(self.x[:, :4]).astype(np.float32)

    def boxes_after(self, dt_s: float, missed: NDArray[np.bool_]) -> Float32:
        """Where `predict` would move the boxes, (N, 4) float32 xyxy pixels."""
        ahead = self._ahead(dt_s, _motion(dt_s, missed))
        return cxcysr_to_xyxy(ahead[:, :4]).astype(np.float32)

    def _ahead(self, dt_s: float, motion: Float64) -> Float64:
        """The states, (N, 7), after a step with the matrices of `_motion`."""
        ahead: Float64 = (motion @ self.x[..., None])[..., 0]
        ahead[:, 2] = np.maximum(ahead[:, 2], self.x[:, 2] * LEAST_AREA**dt_s)
        return ahead


def _motion(dt_s: float, missed: NDArray[np.bool_]) -> Float64:
    """Return F for each box, (N, 7, 7), or (7, 7) where it is the same for all."""
    steady: Float64 = unit_model(dt_s).F
    if not missed.any():
        return steady
    return np.where(missed[:, None, None], unit_model(dt_s, FADING).F, steady)


def scales_of(x: Float64) -> Float64:
    """Return in what the noise of the states (N, 7) is expressed, (N, 7): side, area or ratio."""
    scales = x[:, _SCALE_OF]
    scales[:, _SIDES] = np.sqrt(x[:, 2:3])
    return scales


def _products(x: Float64) -> Float64:
    """Return the products of the scales, (N, 7, 7), that go with a covariance."""
    scales = scales_of(x)
    return scales[:, :, None] * scales[:, None, :]
