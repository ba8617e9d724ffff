"""Where a head points: yaw and pitch, from a detector's five landmarks.

A mean 3-D face, the detector's `landmark_template` with its `landmark_depths`, is turned,
scaled and shifted until its orthographic picture fits the five points best (scaled
orthography: a face is far away compared with its depth). Zero is a face that points at the
camera, wherever in the image it is. Errors: `python -m benchmarks.attention`, docs/events.md.

Reference:
    DeMenthon, Davis, "Model-based object pose in 25 lines of code", IJCV 15, 1995, section 3
    (scaled orthography). Differs: least squares by damped Gauss-Newton steps (Lowe, "Fitting
    parameterized three-dimensional models to images", PAMI 13, 1991) over a quaternion whose
    squared length is the scale: of the depths only the nose's is large, so that a free affine
    fit would throw away what the widths say.
"""

import numpy as np
from numpy.typing import NDArray

from structures import Float32, HeadPose

Float64 = NDArray[np.float64]

EYE_DISTANCE = 0.36  # of the pupils, in the canonical unit chip
LEAST_EYES_PX = 12.0  # below that it is off by more, and fewer are found: docs/events.md
_STEPS = 6  # the last one moves no face by more than 0.2 degrees
_DAMPING, _ONE = 1e-3, np.eye(4)

# The upper two rows of the rotation by a quaternion (a, b, c, d), each entry a quadratic form:
# row i, column j is q @ _FORMS[i, j] @ q.
_FORMS = np.zeros((2, 3, 4, 4))
_FORMS[0, 0], _FORMS[1, 1] = np.diag([1, 1, -1, -1]), np.diag([1, -1, 1, -1])
for _row, _column, _pairs in (
    (0, 1, ((1, 2, 1), (0, 3, -1))),
    (0, 2, ((1, 3, 1), (0, 2, 1))),
    (1, 0, ((1, 2, 1), (0, 3, 1))),
    (1, 2, ((2, 3, 1), (0, 1, -1))),
):
    for _i, _j, _sign in _pairs:
        _FORMS[_row, _column, _i, _j] = _FORMS[_row, _column, _j, _i] = _sign


def mean_face(template: Float32, depths: Float32) -> Float64:
    """Return the mean face as (5, 3) points about their centre; x right, y down, z away."""
    face = np.column_stack([template, -depths]).astype(np.float64)
    return face - face.mean(axis=0)


def head_poses(points: Float32, template: Float32, depths: Float32) -> list[HeadPose | None]:
    """Return where each of N heads points; None where that cannot be told.

    That is where the pupils would be closer than `LEAST_EYES_PX` in a frontal view, or a
    landmark is not finite.

    Args:
        points: (N, 5, 2) float32 landmarks, pixels; N may be 0.
        template: (5, 2) float32, the detector's `landmark_template`.
        depths: (5,) float32, its `landmark_depths`.
    """
    known = np.isfinite(points).all(axis=(1, 2))
    turned = np.full((len(points), 2, 3), np.nan)
    turned[known] = fit_rotations(points[known], mean_face(template, depths))
    scale = np.linalg.norm(turned[:, 0], axis=1)
    (x1, y1, z1), (x2, y2, z2) = np.moveaxis(turned, 0, -1)
    right, up, towards_us = -z1, z2, (x1 * y2 - y1 * x2) / np.maximum(scale, 1e-9)
    yaw = np.degrees(np.arctan2(right, towards_us))
    pitch = np.degrees(np.arctan2(up, np.hypot(right, towards_us)))
    large = scale * EYE_DISTANCE >= LEAST_EYES_PX  # never where it is not a number
    return [
        HeadPose(float(y), float(p)) if enough else None
        for y, p, enough in zip(yaw, pitch, large, strict=True)
    ]


def fit_rotations(points: Float32, face: Float64) -> Float64:
    """Turn and scale the mean face so that it fits best: (N, 2, 3) float64.

    Times a point of `face` a matrix gives its place in the image, apart from the shift. Its two
    rows are at right angles and as long as pixels per unit of the face; all zero where the
    points of a face coincide.

    Args:
        points: (N, 5, 2) finite, pixels; N may be 0.
        face: (5, 3), from `mean_face`.
    """
    seen = points.astype(np.float64)
    seen -= seen.mean(axis=1, keepdims=True)
    flat = seen.reshape(len(seen), 2 * len(face), 1)
    slopes = 2 * np.einsum("kj,ijpr->rkip", face, _FORMS).reshape(4, -1)
    q = _upright(seen, face)
    for _ in range(_STEPS):
        jacobian = (q @ slopes).reshape(*flat.shape[:2], 4)
        missing = flat - 0.5 * jacobian @ q[..., None]  # the forms are of degree 2
        turned = jacobian.transpose(0, 2, 1)
        normal = turned @ jacobian
        damping = _DAMPING * np.trace(normal, axis1=1, axis2=2) / 4 + 1e-9
        normal += damping[:, None, None] * _ONE
        q = q + np.linalg.solve(normal, turned @ missing)[..., 0]
    return np.einsum("ijpr,np,nr->nij", _FORMS, q, q)


def _upright(seen: Float64, face: Float64) -> Float64:
    """The quaternions, (N, 4), that only roll and scale: the best similarity of the plane."""
    z, w = seen[..., 0] + 1j * seen[..., 1], face[:, 0] + 1j * face[:, 1]
    turn = np.sqrt((z * np.conj(w)).sum(axis=1) / (np.abs(w) ** 2).sum())
    zero = np.zeros(len(seen))
    return np.column_stack([turn.real, zero, zero, turn.imag])
