"""Where heads point by MediaPipe's face mesh, 468 points in space.

    python -m benchmarks.alternatives.meshes FILE.npy

It runs in the environment `mediapipe` (`setup`), so nothing of the project is imported here. The
file holds faces, (N, S, S, 3) uint8 RGB. The answer on standard output lists for each face yaw and
pitch in degrees, to the viewer's right and upwards, or null where there is no mesh. They are those
of the plane through the forehead, the chin and the sides of the face; its own zero of pitch is
some degrees away from other definitions.
"""

import json
import sys

import numpy as np
from mediapipe.python.solutions.face_mesh import FaceMesh

LEFT, RIGHT, FOREHEAD, CHIN = 234, 454, 10, 152  # of the mesh, as the viewer sees them


def main() -> int:
    """Run the command; return the exit code."""
    (path,) = sys.argv[1:]
    poses: list[tuple[float, float] | None] = []
    with FaceMesh(static_image_mode=True, min_detection_confidence=0.3) as mesh:
        for face in np.load(path, allow_pickle=False):
            found = mesh.process(face).multi_face_landmarks
            poses.append(_pose(found[0].landmark) if found else None)
    print(json.dumps(poses))
    return 0


def _pose(landmarks: object) -> tuple[float, float]:
    points = np.array([(p.x, p.y, p.z) for p in landmarks])  # type: ignore[attr-defined]
    x, y, z = np.cross(points[CHIN] - points[FOREHEAD], points[RIGHT] - points[LEFT])
    yaw, pitch = np.arctan2(x, -z), np.arctan2(-y, np.hypot(x, z))
    return float(np.degrees(yaw)), float(np.degrees(pitch))


if __name__ == "__main__":
    sys.exit(main())
