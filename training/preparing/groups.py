"""Groups of faces that belong together, near twins among them, and their side of a split.

Faces of one person and near twins make a group, with all that is linked through them. A group
lies on one side: otherwise a network is tested on what it has memorised.

A perceptual hash finds twins: the same photograph twice, scaled, recompressed, tinted or
mirrored. The grey chip is resized to 32 x 32 and goes through the cosine transform; the
16 x 16 lowest frequencies without the mean yield 255 bits: is this frequency above the median of
the set's chips? Aligned faces resemble one another, so the median matters: with zero in its place
twice as many strangers look like twins. Mirroring flips the sign of only the horizontally odd
frequencies, so it needs no second transform.

On 21,290 chips of UTKFace as published 991 pairs differ in up to 40 bits, 1,007 in up to 45,
1,021 in up to 50; then strangers start to match: 1,466 pairs differ in up to 65. `NEAR` lies in
between. In chips aligned again here, 94 % of these pairs are found.

Reference:
    Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010,
    section 3.2. Differs: bits against the set's medians; mirror images.
"""

import tarfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from errors import DatasetError
from structures import Float32, Image
from training.labels import Face

STRADDLES = "twin or same person in another split"
TRAIN, VAL, TEST = "train", "val", "test"


def components(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Return for each of `count` items the first one that `pairs` link it with."""
    root = list(range(count))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]  # halves the path for the next one
            i = root[i]
        return i

    for pair in pairs:
        low, high = sorted(map(find, pair))
        root[high] = low
    return [find(i) for i in range(count)]


def grouped(faces: Sequence[Face], twins: Iterable[tuple[int, int]], prefix: str) -> list[Face]:
    """Return the faces with `group` filled in where they are not alone.

    Args:
        faces: with the groups that the set publishes, if any.
        twins: pairs of near twins, by position.
        prefix: of the groups' names, so that those of several sets do not clash.
    """
    pairs = list(twins)
    first: dict[tuple[str, str], int] = {}
    for i, face in enumerate(faces):
        for key in (("person", face.person), ("group", face.group)):
            if key[1]:
                pairs.append((first.setdefault(key, i), i))
    roots = components(len(faces), pairs)
    sizes = Counter(roots)
    named = [faces[root].person or faces[root].file for root in roots]
    return [
        replace(face, group=f"{prefix}/{name}" if sizes[root] > 1 or face.person else "")
        for face, name, root in zip(faces, named, roots, strict=True)
    ]


def assign(faces: Sequence[Face], test_share: float, val_share: float, seed: int) -> list[Face]:
    """Return the faces with a split, drawn by group.

    Groups come in random order, by `seed`: the first go to test until it has its share (0..1)
    of the faces, the next to val, the others to train.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for i, face in enumerate(faces):
        members[face.group or f"\0{face.file}"].append(i)
    order = np.random.default_rng(seed).permutation(len(members))
    keys, splits, taken = list(members), [TRAIN] * len(faces), 0
    test_end = round(test_share * len(faces))
    val_end = round((test_share + val_share) * len(faces))
    for place in order:
        split = TEST if taken < test_end else VAL if taken < val_end else TRAIN
        for i in members[keys[place]]:
            splits[i] = split
        taken += len(members[keys[place]])
    return [replace(face, split=split) for face, split in zip(faces, splits, strict=True)]


def settle(faces: Sequence[Face]) -> list[Face]:
    """Return the faces without those whose group has faces on the more important side of a split.

    Published splits stay, so that results can be compared; training rows are dropped. The
    order is test, val, then the split with more of the group.
    """
    sides: dict[str, Counter[str]] = defaultdict(Counter)
    for face in faces:
        sides[face.group][face.split] += 1
    rank = {TEST: 2, VAL: 1}

    def first(group: str) -> str:
        counts = sides[group]
        return min(counts, key=lambda split: (-rank.get(split, 0), -counts[split], split))

    return [face for face in faces if not face.group or face.split == first(face.group)]


@dataclass(frozen=True, slots=True)
class Twins:
    """Counts of the near twins of a set.

    Attributes:
        pairs: of twins.
        faces: with a twin.
        groups: of faces linked through twins.
        disagreeing: label -> the files of each group whose labels contradict each other.
    """

    pairs: int
    faces: int
    groups: int
    disagreeing: dict[str, list[list[str]]]


def twin_report(faces: Sequence[Face], twins: Sequence[tuple[int, int]]) -> Twins:
    """Count the groups of twins, and list those whose labels contradict each other."""
    groups: dict[int, list[Face]] = defaultdict(list)
    for face, root in zip(faces, components(len(faces), twins), strict=True):
        groups[root].append(face)
    several = [group for group in groups.values() if len(group) > 1]
    tests: dict[str, Callable[[Sequence[Face]], bool]] = {
        "age": _ages_differ,
        "gender": lambda group: len({face.female for face in group} - {None}) > 1,
        "ethnicity": lambda group: len({face.ethnicity for face in group} - {None}) > 1,
    }
    wrong = {
        label: [[face.file for face in group] for group in several if differ(group)]
        for label, differ in tests.items()
    }
    return Twins(len(twins), sum(map(len, several)), len(several), wrong)


def _ages_differ(group: Sequence[Face]) -> bool:
    """Whether no age fits all ranges."""
    ages = [face.age for face in group if face.age is not None]
    return len(ages) > 1 and max(low for low, _ in ages) > min(high for _, high in ages)


NEAR = 46  # bits, of 255, up to which two chips are twins

_SIDE = 32  # of the grey chip, pixels
_LOW = 16  # frequencies in each direction
_ODD = np.arange(_LOW * _LOW) % 2 == 1  # horizontally: columns are the faster index
_TILE = 512, 2048  # pairs compared at a time: fits the processor's cache

Codes = NDArray[np.uint64]


def frequencies(chip: Image) -> Float32:
    """Return the lowest frequencies of a chip, (256,) float32, row by row; the mean comes first.

    `chip` is (S, S, 3), colours in either order, or (S, S), uint8.
    """
    grey = chip if chip.ndim == 2 else cv2.cvtColor(chip, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return cv2.dct(small.astype(np.float32))[:_LOW, :_LOW].reshape(-1)


def frequencies_of(archive: Path, files: Sequence[str]) -> Float32:
    """Return the lowest frequencies, (N, 256) float32, of N chips in a tar.

    DatasetError if the archive lacks one, or cannot be read.
    """
    places = {file: i for i, file in enumerate(files)}
    out = np.full((len(files), _LOW * _LOW), np.nan, np.float32)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                data = tar.extractfile(member)
                if member.name in places and data is not None:
                    if not member.size:
                        raise DatasetError(
                            f"{archive}: the chip {member.name} is empty; delete the archive and "
                            "prepare again"
                        )
                    grey = cv2.imdecode(np.frombuffer(data.read(), np.uint8), cv2.IMREAD_GRAYSCALE)
                    out[places[member.name]] = frequencies(np.asarray(grey, np.uint8))
    except (OSError, tarfile.TarError, cv2.error) as error:
        raise DatasetError(
            f"cannot read {archive}: {error}; delete it and prepare again"
        ) from error
    if np.isnan(out).any():
        raise DatasetError(f"{archive} lacks chips; delete it and prepare again")
    return out


def hashes(values: Float32) -> tuple[Codes, Codes]:
    """Return the hashes of chips and of their mirror images, (N, 4) uint64 each.

    `values` are (N, 256) float32, see `frequencies`.
    """
    middle = np.median(values, 0) if len(values) else np.zeros(values.shape[1], np.float32)
    middle[_ODD] = 0  # of the chips and their mirror images together
    both = []
    for sign in (1, np.where(_ODD, -1, 1)):
        bits = values * sign > middle
        bits[:, 0] = False  # brightness does not count
        both.append(np.packbits(bits, axis=1).view(np.uint64))
    return both[0], both[1]


def near(codes: Codes, others: Codes, limit: int = NEAR) -> NDArray[np.int64]:
    """Return pairs (P, 2) int64, i < j, for which `codes[i]` and `others[j]` differ in few bits.

    Compares all pairs, in tiles: 60,000 chips take some 20 s.

    Args:
        codes: (N, W) uint64, up to 255 bits together.
        others: (N, W) uint64.
        limit: bits up to which two are near.
    """
    rows, columns = _TILE
    found = [np.zeros((0, 2), np.int64)]
    for top in range(0, len(codes), rows):
        mine = codes[top : top + rows, None]
        for left in range(top, len(codes), columns):
            theirs = others[None, left : left + columns]
            distance = np.bitwise_count(mine[..., 0] ^ theirs[..., 0])
            for word in range(1, codes.shape[1]):
                distance += np.bitwise_count(mine[..., word] ^ theirs[..., word])
            pairs = np.argwhere(distance <= limit) + np.array([top, left])
            found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate(found)


def find_twins(values: Float32, limit: int = NEAR) -> list[tuple[int, int]]:
    """Return pairs i < j of near twins among chips, mirrored or not, each once, in order.

    `values` are (N, 256) float32, see `frequencies`; twins differ in up to `limit` bits.
    """
    codes, mirrored = hashes(values)
    pairs = np.concatenate([near(codes, codes, limit), near(codes, mirrored, limit)])
    return sorted({(int(i), int(j)) for i, j in pairs})
