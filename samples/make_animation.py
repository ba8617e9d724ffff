"""Makes README's moving picture, docs/demo.webp, from the bundled clip.

python -m samples.make_animation
"""

import sys
import tempfile
from pathlib import Path

import av
from PIL import Image

import stream
from training.result_files import writing

TARGET = Path(__file__).resolve().parent.parent / "docs" / "demo.webp"
_SIZE_WH = (640, 360)
_EVERY = 3  # frames
_SECONDS = (1.0, 11.0)  # of the clip
_QUALITY = 55


def main() -> int:
    """Annotate the clip and write some of it as an animated WebP."""
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "sample.mp4"
        stream.main(["--src", "sample", "--no-window", "--remember", "10m", "--output", str(film)])
        with av.open(str(film)) as container:
            rate = float(container.streams.video[0].average_rate or 25)
            frames = [
                frame.to_image().resize(_SIZE_WH, Image.Resampling.LANCZOS)
                for index, frame in enumerate(container.decode(video=0))
                if index % _EVERY == 0 and _SECONDS[0] <= index / rate < _SECONDS[1]
            ]
    with writing(TARGET) as beside:
        frames[0].save(
            beside,
            "WEBP",
            save_all=True,
            append_images=frames[1:],
            duration=round(1000 * _EVERY / rate),
            loop=0,
            quality=_QUALITY,
            method=6,
        )
    print(f"{TARGET}: {len(frames)} frames, {TARGET.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
