from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from errors import DatasetError
from tests import chip_sets
from training.chips import EYE_DISTANCE, from_afar, load_chips, load_train
from training.labels import read_table, write_table


def test_chips_from_afar_lose_what_is_finer_than_their_pixels() -> None:
    stripes = np.zeros((1, 112, 112, 3), np.uint8)
    stripes[:, :, ::2] = 200
    blocks = np.repeat(np.repeat(chip_sets.images(4, 8), 14, 1), 14, 2)
    pixels = 16 * EYE_DISTANCE
    assert from_afar(stripes, pixels).std() < 10
    assert from_afar(stripes, 200) is stripes
    apart = np.abs(from_afar(blocks, pixels).astype(int) - blocks)
    assert apart.mean() < 12
    assert from_afar(blocks, pixels).shape == blocks.shape


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "chips", "widest"),
    [("us_congress", 876, 18), ("frl_faces", 201, 0), ("tse_pe2022", 973, 1)],
)
def test_the_small_sets_are_read_as_they_come(
    data_dir: Path, name: str, chips: int, widest: int
) -> None:
    parts = [load_chips(data_dir / "faces", name, split) for split in ("train", "test")]
    assert sum(map(len, parts)) == chips
    assert not set(parts[0].groups) & set(parts[1].groups)
    for part in parts:
        assert part.images.shape[1:] == (112, 112, 3)
        assert (part.age_high - part.age_low).max() <= widest
        assert (part.age_low >= 17).all() and np.isin(part.female, (0, 1)).all()
        assert len(np.unique(part.groups)) <= len(part)
    if name == "frl_faces":
        assert (parts[0].race >= 0).sum() > 100


def test_a_set_is_learnt_by_its_own_splits(tmp_path: Path) -> None:
    chip_sets.write_set(tmp_path, "album", 12)
    faces = [
        replace(face, split=f"fold{i % 3}")
        for i, face in enumerate(read_table(tmp_path / "album.csv"))
    ]
    write_table(tmp_path / "album.csv", faces)
    found = load_train(tmp_path, "album:fold0+fold2")
    wanted = [face.file for fold in (0, 2) for face in faces if face.split == f"fold{fold}"]
    assert found.files.tolist() == wanted
    with pytest.raises(DatasetError, match="no rows of the split train; has fold0, fold1, fold2"):
        load_train(tmp_path, "album")
