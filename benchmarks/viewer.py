"""Watch a live view as a browser does, and throw the pictures away.

    python -m benchmarks.viewer http://127.0.0.1:8080/stream.mjpeg

Tries until somebody answers, then reads until the other side ends. The exit code is 0
where pictures came.
"""

import http.client
import sys
import time
import urllib.request

_PATIENCE_S, _PAUSE_S = 30.0, 0.1


def main() -> int:
    """Command line; returns the exit code."""
    came = 0
    give_up_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up_s:
        try:
            with urllib.request.urlopen(sys.argv[1]) as answer:
                while part := answer.read1(1 << 16):
                    came += len(part)
        except (OSError, http.client.HTTPException):
            pass
        if came:
            return 0
        time.sleep(_PAUSE_S)
    return 1


if __name__ == "__main__":
    sys.exit(main())
