"""Face detectors: the contract, and the choice of them.

A detector is pure: the same image gives the same faces, and no state is kept. Near known
faces a search takes a tenth of the time; the caller decides when to search the whole image.
"""

from collections.abc import Callable
from typing import Protocol

from engines.choose import DEVICES, PRECISIONS, Way, first_that_works
from errors import EngineError
from structures import Detections, Float32, Image

MIN_FACE = 40  # pixels: the smallest side looked for by default
STRICT_FACE = 20  # the same where no face may be seen


class Detector(Protocol):
    """Finds faces in one image, for any number of threads at once.

    Attributes:
        landmark_template: (5, 2) float32, where the detector's five points lie in the
            canonical unit chip (x right, y down, 0..1); what alignment warps them to.
        landmark_depths: (5,) float32, how far those of a mean face lie in front of the eyes, in
            the same unit; for the head's pose.
        starting_score: from this score on, a detection counts as a face by itself; a weaker one
            only where a face was a moment ago.
        confident_score: from this score on, a detection is as good as certain.
    """

    landmark_template: Float32
    landmark_depths: Float32
    starting_score: float
    confident_score: float

    def detect(self, image: Image, coarse: float = 1.0) -> Detections:
        """Find the faces of `image`, (H, W, 3) uint8 BGR, in its own pixels, best first.

        Args:
            image: not changed.
            coarse: at least 1: skip faces less than `coarse` times as large as the smallest
                searched for, which divides the time by its square.

        Raises:
            ValueError: not such an image, or `coarse` below 1; also of `detect_near`.
        """
        ...

    def detect_near(self, image: Image, boxes: Float32) -> Detections:
        """Find the faces that lie about `boxes`, (N, 4) float32 xyxy; N = 0 finds none.

        For boxes at most a quarter of their side from the face it finds what `detect` finds;
        it may find other faces nearby, and reports each once.
        """
        ...


def _mtcnn(
    min_face: int, upsample: int, threads: int, keen: int, device: str, precision: str
) -> Detector:
    from detectors.mtcnn_cascade import THRESHOLDS, MtcnnDetector
    from detectors.mtcnn_nets import net_ways

    thresholds = (THRESHOLDS, (0.5, 0.6, 0.7), (0.5, 0.6, 0.5))[keen]
    exact = precision == "float32"

    def build(way: Way) -> Detector:
        return MtcnnDetector(min_face, thresholds=thresholds, threads=threads, way=way, exact=exact)

    return first_that_works(net_ways(device=device), build)


def _dlib(
    min_face: int, upsample: int, threads: int, keen: int, device: str, precision: str
) -> Detector:
    from detectors.dlib_hog import DlibHogDetector

    if device == "gpu":
        raise EngineError(
            "detector dlib runs on the CPU only; use --detector mtcnn or --device auto"
        )
    return DlibHogDetector(upsample)


DETECTORS: dict[str, Callable[[int, int, int, int, str, str], Detector]] = {
    "mtcnn": _mtcnn,
    "dlib": _dlib,
}


def make_detector(
    name: str,
    min_face: int = MIN_FACE,
    upsample: int = 0,
    threads: int = 0,
    keen: int = 0,
    device: str = "cpu",
    precision: str = "auto",
) -> Detector:
    """Build the detector called `name`, importing only what it needs.

    Args:
        name: a key of `DETECTORS`.
        min_face: smallest face side to look for, pixels (mtcnn).
        upsample: times the image is doubled before the search (dlib).
        threads: of the inference engine on the CPU, 0 = one per core.
        keen: 1 reports doubtful faces too, with a lower score, 2 very doubtful ones (mtcnn).
        device: one of `engines.choose.DEVICES` (mtcnn).
        precision: one of `engines.choose.PRECISIONS`; with all but "float32" mtcnn's first net,
            which only proposes, computes in bfloat16 on CPUs that have it.

    Raises:
        ValueError: unknown name, device or precision; the message lists the known ones.
        EngineError: a GPU was requested and cannot be used.
    """
    if name not in DETECTORS:
        raise ValueError(f"detector must be one of {', '.join(DETECTORS)}, got {name!r}")
    if device not in DEVICES:
        raise ValueError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    return DETECTORS[name](min_face, upsample, threads, keen, device, precision)


__all__ = ["DETECTORS", "MIN_FACE", "STRICT_FACE", "Detector", "make_detector"]
