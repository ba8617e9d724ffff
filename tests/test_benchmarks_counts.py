import numpy as np

from benchmarks.counts import COUNTED, Groups, judge, mixes, table
from people.correction import GROUPS


def faces(count: int = 4000) -> tuple[Groups, Groups]:
    """Places of true and told groups: every fifth face is told to be of the other gender."""
    rng = np.random.default_rng(2)
    true = rng.integers(0, len(GROUPS), count)
    told = np.where(rng.random(count) < 0.2, (true + 5) % 10, true)
    return true, told


CONFUSION = tuple(
    tuple(800 * (i == j) + 200 * (abs(i - j) == 5) for j in range(10)) for i in range(10)
)


def test_a_mix_draws_each_face_once_and_has_shares_of_its_own() -> None:
    true, told = faces()
    every = list(mixes(true, told, 20, 300, seed=0))
    women = [truth[:5].sum() / truth.sum() for truth, _ in every]
    assert np.std(women) > 0.15
    assert all(truth.sum() == seen.sum() <= 300 for truth, seen in every)
    all_of_them, _ = next(mixes(true, told, 1, 10**6, seed=0))
    assert (all_of_them <= np.bincount(true, minlength=10)).all()


def test_mixes_are_the_same_for_the_same_seed() -> None:
    one, two = (next(mixes(*faces(), 1, 300, seed=4)) for _ in range(2))
    assert np.array_equal(one, two)


def test_the_scores_tell_corrected_from_naive_counts() -> None:
    scores = judge(*faces(), CONFUSION, 8, 300, seed=0)
    women = scores["female", ""]
    assert women.held >= 80
    assert women.error < 0.6 * women.naive_error
    assert scores["", "20-39"].naive_error == 0, "ages are told right"


def test_the_table_has_a_row_for_each_set_and_group() -> None:
    lines = table({"small": faces()}, CONFUSION, 2, 50, 0).splitlines()
    assert len(lines) == 2 + len(COUNTED)
    assert lines[2].startswith("| small | female | ")
