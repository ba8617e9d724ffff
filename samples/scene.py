"""Draw the sample: a blurred room made from a seed, and the people cut from portraits."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from errors import SourceError
from samples.motion import FPS, HERE, SIZE_WH, Person, Pose, poses

SEED = 20120
COUNTER_Y = 472  # the people stand behind it: their portraits end somewhere below
SHUTTER = 0.5  # part of a frame's time during which the shutter is open
NOISE = 1.3  # standard deviation of the sensor's noise, grey levels
LEVELS = 6  # sizes at which a cut-out is kept, each 0.7 of the one before
LARGEST_FACE = 230.0  # face height of the first

Layer = NDArray[np.float32]  # (H, W, 4) blue, green, red times alpha, and alpha, 0..1


def _fill(image: Layer, corners: tuple[int, int, int, int], bgr: tuple[float, ...]) -> None:
    x1, y1, x2, y2 = corners
    image[y1:y2, x1:x2] = bgr


def _shelf(room: Layer, rng: np.random.Generator) -> None:
    """Paint a bookcase: boards, and on each a row of coloured spines."""
    _fill(room, (30, 60, 330, 470), (0.16, 0.22, 0.30))
    for bottom in (165, 270, 375, 470):
        x = 40
        while x < 305:
            width, height = int(rng.integers(9, 24)), int(rng.integers(55, 88))
            colour = tuple(rng.uniform((0.12, 0.16, 0.18), (0.55, 0.55, 0.68)))
            if rng.random() > 0.12:
                _fill(room, (x, bottom - height, x + width, bottom - 6), colour)
            x += width + 1
        _fill(room, (30, bottom - 6, 330, bottom), (0.24, 0.34, 0.46))


def _window(room: Layer, rng: np.random.Generator) -> None:
    """Paint an evening window: dusk above, the discs of lights out of focus below, bars."""
    x1, y1, x2, y2 = 610, 30, 910, 400
    dusk = np.linspace(0, 1, y2 - y1)[:, None, None]
    room[y1:y2, x1:x2] = (1 - dusk) * (0.66, 0.47, 0.36) + dusk * (0.44, 0.50, 0.72)
    pane = np.ascontiguousarray(room[y1:y2, x1:x2])
    for _ in range(46):
        disc = np.zeros_like(pane)
        centre = (int(rng.integers(0, x2 - x1)), int(rng.normal(270, 60)))
        colour = rng.uniform((0.20, 0.45, 0.70), (0.60, 0.80, 1.0)) * rng.uniform(0.1, 0.4)
        cv2.circle(disc, centre, int(rng.integers(8, 20)), colour.tolist(), -1, cv2.LINE_AA)
        pane += disc
    room[y1:y2, x1:x2] = pane
    for bar in ((600, 24, 612, 406), (754, 24, 764, 406), (906, 24, 918, 406)):
        _fill(room, bar, (0.72, 0.78, 0.82))
    for bar in ((600, 22, 918, 34), (600, 210, 918, 218), (600, 398, 918, 412)):
        _fill(room, bar, (0.72, 0.78, 0.82))


def _lamp(room: Layer, centre: tuple[int, int], reach: float, strength: float) -> None:
    """Add the warm glow of a lamp."""
    y, x = np.mgrid[: room.shape[0], : room.shape[1]].astype(np.float32)
    squared = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / reach**2
    room += strength * np.exp(-squared)[..., None] * np.array((0.45, 0.75, 1.0), np.float32)


@cache
def room() -> Layer:
    """Return the room behind the people, (H, W, 3) float32 BGR, 0..1."""
    rng = np.random.default_rng(SEED)
    width, height = SIZE_WH
    down = np.linspace(1.0, 0.72, height)[:, None, None]
    image = np.tile(down * (0.55, 0.62, 0.62), (1, width, 1)).astype(np.float32)
    _shelf(image, rng)
    _window(image, rng)
    _fill(image, (400, 90, 530, 260), (0.20, 0.30, 0.36))
    _fill(image, (412, 102, 518, 248), (0.50, 0.44, 0.30))
    _fill(image, (412, 190, 518, 248), (0.30, 0.42, 0.40))
    image = cv2.GaussianBlur(image, (0, 0), 5.0)
    _lamp(image, (360, 20), 330, 0.30)
    _lamp(image, (950, 480), 300, 0.12)
    grain = cv2.GaussianBlur(rng.normal(0, 1, image.shape).astype(np.float32), (0, 0), 12)
    return np.clip(image + 0.25 * grain, 0, 1).astype(np.float32)


@cache
def counter() -> Layer:
    """Return the counter in front of the people, a layer of the image's size."""
    rng = np.random.default_rng(SEED + 1)
    width, height = SIZE_WH
    layer = np.zeros((height, width, 4), np.float32)
    depth = height - COUNTER_Y
    shade = np.linspace(1.0, 0.55, depth)[:, None, None]
    wood = rng.normal(0, 1, (depth, width, 1)).astype(np.float32)
    wood = cv2.GaussianBlur(wood, (0, 0), sigmaX=60, sigmaY=1.6)[..., None]
    layer[COUNTER_Y:, :, :3] = shade * (0.20, 0.31, 0.44) * (1 + 1.6 * wood)
    layer[COUNTER_Y : COUNTER_Y + 9, :, :3] = (0.40, 0.55, 0.70)
    layer[COUNTER_Y:, :, 3] = 1
    padded = cv2.copyMakeBorder(layer, 0, 8, 0, 0, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.GaussianBlur(padded, (0, 0), 1.6)[:height], np.float32)


def _matte(person: Person, shape_hw: tuple[int, int], scale: float) -> NDArray[np.float32]:
    """Return the silhouette of `person` with a soft edge, (H, W) float32 in 0..1."""
    mask = np.zeros(shape_hw, np.uint8)
    cv2.fillPoly(mask, [np.rint(person.outline * scale * 16).astype(np.int32)], 255, shift=4)
    rim = cv2.copyMakeBorder(mask, 8, 8, 8, 8, cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(rim.astype(np.float32) / 255, (0, 0), 2.2)[8:-8, 8:-8]
    # The outer half of the edge would show the portrait's own background.
    return np.asarray(np.clip((soft - 0.42) / 0.5, 0, 1), np.float32)


@cache
def cut_out(person: Person) -> tuple[tuple[float, Layer], ...]:
    """Cut `person` out of the portrait: (scale, layer) from the largest size down.

    Near the edge colours come from further inside, so that no fringe of the old background
    remains.

    Raises:
        SourceError: the portrait is missing or not an image.
    """
    portrait = cv2.imread(str(HERE / "portraits" / person.file), cv2.IMREAD_COLOR)
    if portrait is None:
        raise SourceError(f"cannot read samples/portraits/{person.file}: fetch it again")
    scale = LARGEST_FACE / float(person.face_box[3] - person.face_box[1])
    shrinks = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=shrinks)
    colour = np.clip(image.astype(np.float32) * (person.exposure / 255), 0, 1)
    alpha = _matte(person, image.shape[:2], scale)
    core = cv2.erode((alpha > 0.99).astype(np.float32), np.ones((5, 5), np.uint8))[..., None]
    spread = cv2.GaussianBlur(colour * core, (0, 0), 3.0)
    weight = cv2.GaussianBlur(core, (0, 0), 3.0)[..., None]
    colour = core * colour + (1 - core) * spread / np.maximum(weight, 1e-4)
    layer = np.dstack([colour * alpha[..., None], alpha]).astype(np.float32)
    sizes = [(scale, layer)]
    for _ in range(LEVELS - 1):
        scale, layer = sizes[-1]
        smaller = cv2.resize(layer, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
        sizes.append((scale * 0.7, np.asarray(smaller, np.float32)))
    return tuple(sizes)


def _draw(pose: Pose) -> Layer:
    """Return the layer of one person at one instant."""
    wanted = pose.face_height / float(pose.person.face_box[3] - pose.person.face_box[1])
    scale, layer = [size for size in cut_out(pose.person) if size[0] >= wanted][-1]
    matrix = pose.matrix
    matrix[:, :2] /= scale
    return np.asarray(cv2.warpAffine(layer, matrix, SIZE_WH, flags=cv2.INTER_LINEAR), np.float32)


def _blurred(pose: Pose, time_s: float) -> Layer:
    """Return the layer of one person averaged over the time the shutter is open."""
    open_s = SHUTTER / FPS
    ends = [
        other
        for moment in (time_s - open_s / 2, time_s + open_s / 2)
        for other in poses(moment)
        if (other.person.id, other.visit) == (pose.person.id, pose.visit)
    ]
    if len(ends) < 2:
        return _draw(pose)
    steps = min(9, 1 + round(float(np.hypot(ends[1].x - ends[0].x, ends[1].y - ends[0].y))))
    total = np.zeros((SIZE_WH[1], SIZE_WH[0], 4), np.float32)
    for part in (np.arange(steps) + 0.5) / steps:
        mix = [
            float((1 - part) * getattr(ends[0], name) + part * getattr(ends[1], name))
            for name in ("x", "y", "face_height", "roll_deg")
        ]
        total += _draw(Pose(pose.person, pose.visit, *mix))
    return np.asarray(total / steps, np.float32)


def _light(time_s: float) -> float:
    """Return the room's brightness: a slow drift, and a cloud that passes at 8 s."""
    return float(
        1.0
        + 0.05 * np.sin(2 * np.pi * time_s / 6.5)
        - 0.14 / (1 + np.exp(-(time_s - 7.6) * 5)) / (1 + np.exp((time_s - 12.5) * 4))
    )


def render(index: int) -> NDArray[np.uint8]:
    """Draw frame `index`: (H, W, 3) uint8 BGR; a frame depends on nothing before it."""
    time_s = index / FPS
    image = room().copy()
    layers = [_blurred(pose, time_s) for pose in reversed(poses(time_s))]
    for layer in (*layers, counter()):
        image = layer[..., :3] + image * (1 - layer[..., 3:])
    noise = np.random.default_rng((SEED, index)).normal(0, NOISE, image.shape)
    return np.clip(np.rint(255 * _light(time_s) * image + noise), 0, 255).astype(np.uint8)
