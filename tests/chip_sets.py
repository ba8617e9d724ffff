"""Small sets of chips for tests: bright faces are old and female, dark ones young and male."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from structures import Image
from training.chips import Chips, labelled
from training.labels import Face, write_table


def faces(count: int, split: str = "train") -> list[Face]:
    """Every third age is exact, the others are ranges; two faces a group; some unknown."""
    found = []
    for i in range(count):
        bright = i % 2 == 1
        age = (60, 69) if bright else (10, 19)
        if i % 3 == 0:
            age = (age[0] + 5, age[0] + 5)
        face = Face(f"{split}{i}.png", age, bright, 1 + bright, group=f"g{i // 2}", split=split)
        if i % 8 == 7:
            face = replace(face, age=None, ethnicity=None)
        found.append(face)
    return found


def images(count: int, side: int = 32) -> Image:
    rng = np.random.default_rng(0)
    bright = np.arange(count) % 2
    return (rng.integers(0, 60, (count, side, side, 3)) + 150 * bright[:, None, None, None]).astype(
        np.uint8
    )


def chips(count: int, side: int = 32) -> Chips:
    return labelled(images(count, side), faces(count))


def write_set(folder: Path, name: str, count: int, side: int = 32, tests: int = 8) -> None:
    """NAME.tar and NAME.csv with `count` train rows and some test rows."""
    rows = faces(count) + faces(tests, "test")
    pictures = np.concatenate([images(count, side), images(tests, side)])
    with tarfile.open(folder / f"{name}.tar", "w") as tar:
        for face, picture in zip(rows, pictures, strict=True):
            data = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
            member = tarfile.TarInfo(face.file)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    write_table(folder / f"{name}.csv", rows)
