"""How good corrected counts are: mixes of test faces with shifted shares of gender and age.

    python -m benchmarks.counts --data DIR [--weights NAME ...] [--sets NAME ...] [--mixes N]

A mix has a share of women between 10 and 90 %, and shares of the age bands, of each gender its
own, drawn evenly from all possible ones. Its faces are drawn from the test rows without putting
back. `people.correction` then sees only what the network tells. Printed for women, and for people
of each age band, in points (hundredths of all people): in how many of 100 mixes the 95 % interval
holds the truth, its half width, the mean error (bias) and its root mean square, of the corrected
count and of the naive one. All sets together are another row: the confusion in the manifest
often comes from one of them only, and other faces differ.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import common
from benchmarks.common import flag
from estimators.weights import Confusion, named_weights, read_manifest
from people.bands import RECORD_BANDS
from people.correction import GROUPS, corrected
from program.options import number
from structures import Gender
from training.chips import load_chips, shrink
from training.confusion import groups_of
from training.judging.contenders import estimate_all, load

Groups = NDArray[np.int64]
COUNTED = [(str(Gender.FEMALE), ""), *(("", band) for band in RECORD_BANDS.names)]


@dataclass(frozen=True, slots=True)
class Score:
    """How good the counts of one group were; all but `held` in points.

    Attributes:
        held: in how many of 100 mixes the interval held the truth.
        half_width: of the interval, mean.
        bias: mean error of the corrected counts.
        naive_bias: mean error of those told.
        error: root mean square of the corrected counts' errors.
        naive_error: the same of those told.
    """

    held: float
    half_width: float
    bias: float
    naive_bias: float
    error: float
    naive_error: float


def mixes(
    true: Groups, told: Groups, count: int, people: int, seed: int
) -> Iterator[tuple[Groups, Groups]]:
    """Yield the true and the told counts, (10,) int64, of random mixes of faces.

    Args:
        true: (N,) places in `GROUPS`, of faces.
        told: (N,) those that a network tells.
        count: of mixes.
        people: in each; fewer where a group has too few faces.
        seed: decides which.
    """
    rng, bands = np.random.default_rng(seed), len(RECORD_BANDS.names)
    rows = [np.flatnonzero(true == group) for group in range(len(GROUPS))]
    for _ in range(count):
        female = rng.uniform(0.1, 0.9)
        ages = rng.dirichlet(np.ones(bands), 2)  # of women, of men
        wanted = rng.multinomial(people, np.concatenate([female * ages[0], (1 - female) * ages[1]]))
        pairs = zip(rows, wanted, strict=True)
        drawn = np.concatenate([rng.choice(each, min(n, len(each)), False) for each, n in pairs])
        yield tuple(np.bincount(x[drawn], minlength=len(GROUPS)) for x in (true, told))  # type: ignore[misc]


def judge(
    true: Groups, told: Groups, confusion: Confusion, count: int, people: int, seed: int
) -> dict[tuple[str, str], Score]:
    """Correct the counts of mixes (see there) by a confusion; score each of `COUNTED`."""
    rows: dict[tuple[str, str], list[tuple[float, ...]]] = {key: [] for key in COUNTED}
    for truth, seen in mixes(true, told, count, people, seed):
        found, points = corrected(seen.tolist(), confusion), 100 / truth.sum()
        for key in COUNTED:
            within = [key[0] in ("", g) and key[1] in ("", b) for g, b in GROUPS]
            real, naive, one = truth[within].sum(), seen[within].sum(), found[key]
            error, naive_error = points * (one.people - real), points * (naive - real)
            width = points * (one.high - one.low) / 2
            rows[key].append((100 * (one.low <= real <= one.high), width, error, naive_error))
    scores = {}
    for key, each in rows.items():
        table = np.array(each, np.float64)
        rms = np.sqrt((table[:, 2:] ** 2).mean(axis=0))
        scores[key] = Score(*table.mean(axis=0), *rms)
    return scores


def faces_of(
    name: str, data: Path, sets: list[str], threads: int
) -> dict[str, tuple[Groups, Groups]]:
    """Return set -> true and told groups of its test rows, and all of them together."""
    estimator = load([name], None, threads=threads)[0].estimator
    found = {}
    for each in sets:
        chips = load_chips(data, each, "test")
        estimates = estimate_all(estimator, shrink(chips.images, estimator.input_size))
        found[each] = groups_of(estimates, chips)
    if len(sets) > 1:
        pairs = zip(*found.values(), strict=True)
        found["all"] = tuple(np.concatenate(one) for one in pairs)  # type: ignore[assignment]
    return found


@common.command(
    "counts",
    __doc__,
    flag("--data", type=Path, required=True, metavar="DIR", help="folder that holds the sets"),
    flag("--weights", nargs="+", default=["dlibresnet_fairface"], metavar="NAME"),
    flag("--sets", nargs="+", default=["utkface", "fairface"], metavar="NAME"),
    flag("--mixes", type=number(int, 1), default=100, metavar="N"),
    flag("--people", type=number(int, 10), default=300, metavar="N", help="in each mix"),
    flag("--seed", type=int, default=0),
    flag("--threads", type=number(int, 1, 1024), default=0, metavar="N"),
)
def main(options: argparse.Namespace) -> None:
    """Print a table for each network."""
    models = read_manifest()["models"]
    for name in options.weights:
        weights = named_weights(name)
        if weights.confusion is None:
            print(f"{name}: its errors are not known, so counts are not corrected\n")
            continue
        print(f"{name}; errors counted on {models[name]['confusion']['of']}\n")
        sets = faces_of(name, options.data, options.sets, options.threads)
        print(table(sets, weights.confusion, options.mixes, options.people, options.seed))


def table(
    sets: dict[str, tuple[Groups, Groups]],
    confusion: Confusion,
    count: int,
    people: int,
    seed: int,
) -> str:
    """Return the scores as Markdown."""
    lines = [
        "| test rows of | people | truth held | interval | bias | naive | error | naive |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, (true, told) in sets.items():
        for (gender, band), s in judge(true, told, confusion, count, people, seed).items():
            lines.append(
                f"| {name} | {gender or band} | {s.held:.0f} % | ±{s.half_width:.1f} | "
                f"{s.bias:+.1f} | {s.naive_bias:+.1f} | {s.error:.1f} | {s.naive_error:.1f} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
