"""Near twins, groups and splits."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from errors import DatasetError
from tests.scenes import changed, scene
from training.labels import Face, read_table
from training.preparing.chip_archive import ChipArchive
from training.preparing.cutting import encode
from training.preparing.groups import (
    NEAR,
    assign,
    components,
    find_twins,
    frequencies,
    frequencies_of,
    grouped,
    hashes,
    near,
    settle,
    twin_report,
)


def values(pictures: Iterable[np.ndarray]) -> NDArray[np.float32]:
    return np.stack([frequencies(picture) for picture in pictures])


def test_a_changed_copy_is_a_twin_and_strangers_are_not() -> None:
    pictures = [scene(seed) for seed in range(60)]
    pictures += [changed(pictures[7]), changed(pictures[12])[:, ::-1]]
    assert find_twins(values(pictures)) == [(7, 60), (12, 61)]


def test_the_hash_of_the_mirror_picture_is_that_of_the_mirrored_picture() -> None:
    pictures = [scene(seed) for seed in range(20)]
    both = values(pictures + [picture[:, ::-1] for picture in pictures])
    codes, mirrored = hashes(both)
    np.testing.assert_array_equal(np.bitwise_count(codes[:20] ^ mirrored[20:]).sum(1), 0)


def test_near_pairs_are_those_of_counting_bits_one_by_one() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2**63, (700, 4), np.uint64)
    codes[600:] = codes[:100] ^ (np.uint64(1) << rng.integers(0, 60, (100, 4), np.uint64))
    bits = np.unpackbits(codes.view(np.uint8), axis=1).astype(int)
    expected = {
        (i, j)
        for i, row in enumerate(bits)
        for j in i + 1 + np.flatnonzero((bits[i + 1 :] != row).sum(1) <= 4)
    }
    assert {tuple(pair) for pair in near(codes, codes, 4)} == expected
    assert len(expected) >= 100


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_chips_have_no_twins(count: int) -> None:
    pictures = [scene(seed) for seed in range(count)]
    assert find_twins(np.zeros((0, 256), np.float32) if not count else values(pictures)) == []


def test_equal_chips_are_twins_even_if_there_is_nothing_else() -> None:
    assert find_twins(values([scene(1), scene(1)])) == [(0, 1)]


@pytest.mark.data
@pytest.mark.slow
def test_the_twins_of_utkface_are_found_as_its_description_says(data_dir: Path) -> None:
    faces = read_table(data_dir / "faces" / "utkface.csv")
    archive = data_dir / "faces" / "utkface.tar"
    twins = find_twins(frequencies_of(archive, [face.file for face in faces]))
    told = twin_report(faces, twins)
    assert told.faces == pytest.approx(1802, rel=0.02)
    assert len(told.disagreeing["age"]) == pytest.approx(599, rel=0.02)
    # Its splits were made with other means and without mirror pictures.
    kept = settle(grouped(faces, twins, "utkface"))
    assert len(faces) - len(kept) < 0.03 * told.faces
    assert NEAR == 46


def test_an_archive_without_a_chip_is_refused(tmp_path: Path) -> None:
    with ChipArchive(tmp_path, "set", {}, replace=False) as archive:
        archive.add("a.webp", encode(scene(0)))
        archive.finish(tmp_path / "set.csv")
    assert frequencies_of(tmp_path / "set.tar", ["a.webp"]).shape == (1, 256)
    with pytest.raises(DatasetError, match="lacks chips"):
        frequencies_of(tmp_path / "set.tar", ["a.webp", "b.webp"])


def test_components_are_those_of_walking_the_graph() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        count = int(rng.integers(1, 40))
        pairs = [(int(i), int(j)) for i, j in rng.integers(0, count, (int(rng.integers(0, 40)), 2))]
        reach = np.eye(count, dtype=bool)
        for i, j in pairs:
            reach[i, j] = reach[j, i] = True
        for _ in range(count):
            reach = (reach.astype(int) @ reach) > 0
        assert components(count, pairs) == [int(np.argmax(row)) for row in reach]


def some_faces(count: int = 400, seed: int = 0) -> tuple[list[Face], list[tuple[int, int]]]:
    """Faces of people and of nobody known, and twins between them."""
    rng = np.random.default_rng(seed)
    faces = [
        Face(f"{i}.jpg", person=f"p{rng.integers(60)}" if rng.random() < 0.5 else "")
        for i in range(count)
    ]
    pairs = np.sort(rng.integers(0, count, (60, 2)))
    return faces, [(int(i), int(j)) for i, j in pairs]


def sides(faces: Sequence[Face]) -> dict[str, set[str]]:
    splits = defaultdict(set)
    for face in faces:
        splits[face.group or face.file].add(face.split)
    return splits


def test_groups_never_straddle_a_drawn_split() -> None:
    faces, twins = some_faces()
    drawn = assign(grouped(faces, twins, "set"), 0.25, 0.1, seed=1)
    assert all(len(splits) == 1 for splits in sides(drawn).values())
    split = {face.file: face.split for face in drawn}
    assert all(split[f"{i}.jpg"] == split[f"{j}.jpg"] for i, j in twins)
    by_person = defaultdict(set)
    for face in drawn:
        by_person[face.person or face.file].add(face.split)
    assert all(len(splits) == 1 for splits in by_person.values())
    assert settle(drawn) == drawn
    assert [face.file for face in drawn] == [face.file for face in faces]


def test_drawn_splits_have_their_shares_and_depend_on_the_seed() -> None:
    faces = [Face(f"{i}.jpg") for i in range(1000)]
    drawn = [face.split for face in assign(faces, 0.2, 0.1, seed=3)]
    assert (drawn.count("test"), drawn.count("val"), drawn.count("train")) == (200, 100, 700)
    assert drawn == [face.split for face in assign(faces, 0.2, 0.1, seed=3)]
    assert drawn != [face.split for face in assign(faces, 0.2, 0.1, seed=4)]
    assert {face.split for face in assign(faces, 1, 0, seed=0)} == {"test"}
    assert {face.split for face in assign(faces, 0, 0, seed=0)} == {"train"}


def test_published_test_rows_stay_and_their_like_in_train_go() -> None:
    faces = [
        Face("a", split="train"),
        Face("b", split="test"),
        Face("c", split="train"),
        Face("d", person="p", split="val"),
        Face("e", person="p", split="train"),
        Face("f", person="q", split="fold1"),
        Face("g", person="q", split="fold0"),
        Face("h", person="q", split="fold1"),
    ]
    kept = settle(grouped(faces, [(0, 1)], "set"))
    assert [face.file for face in kept] == ["b", "c", "d", "f", "h"]
    assert all(len(splits) == 1 for splits in sides(kept).values())


def test_groups_are_called_after_the_set() -> None:
    faces = [Face("a"), Face("b"), Face("c", person="p"), Face("d"), Face("e", group="x")]
    faces.append(Face("f", group="x"))
    groups = [face.group for face in grouped(faces, [(0, 3)], "set")]
    assert groups == ["set/a", "", "set/p", "set/a", "set/e", "set/e"]


def test_twins_that_contradict_each_other_are_reported() -> None:
    faces = [
        Face("a", (20, 29), True, 0),
        Face("b", (25, 25), True, 1),
        Face("c", (30, 30), None, None),
        Face("d", (40, 40), False, 2),
        Face("e", (40, 40), True, 2),
        Face("f"),
    ]
    told = twin_report(faces, [(0, 1), (3, 4)])
    assert (told.pairs, told.faces, told.groups) == (2, 4, 2)
    assert told.disagreeing == {"age": [], "gender": [["d", "e"]], "ethnicity": [["a", "b"]]}
    assert twin_report(faces, [(0, 1), (1, 2)]).disagreeing["age"] == [["a", "b", "c"]]
