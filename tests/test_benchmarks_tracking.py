from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tracking import Judge, Labelled, Scores, load, run
from tracking.sort import SortTracker


def judged(ids_per_frame: Sequence[tuple[int, int]]) -> Scores:
    """Scores of a tracker that shows two people exactly, under the given ids."""
    boxes = np.array([[70, 70, 130, 130], [270, 70, 330, 130]], np.float32)
    judge = Judge(Scores())
    for ids in ids_per_frame:
        judge.frame(
            Labelled(np.array([7, 8]), boxes), Labelled(np.array(ids), boxes), np.zeros(2, bool)
        )
    judge.finish()
    return judge.scores


def test_the_benchmark_gives_full_marks_to_a_perfect_tracker_and_counts_a_swap() -> None:
    perfect = judged([(1, 2)] * 4)
    assert (perfect.mota, perfect.idf1, perfect.switches) == (1, 1, 0)
    swapped = judged([(1, 2)] * 3 + [(2, 1)])
    assert swapped.switches == 2
    assert swapped.mota == 1 - 2 / 8
    assert swapped.idf1 == 6 / 8


@pytest.mark.data
def test_on_real_detections_our_patience_keeps_identities_better_than_ending_at_once(
    data_dir: Path,
) -> None:
    clip = load(data_dir / "mot" / "TUD-Campus")
    patient, paper = Scores(), Scores()
    run(clip, SortTracker(), 1, patient)
    run(clip, SortTracker(max_age=1), 1, paper)
    assert patient.switches < paper.switches
    assert patient.idf1 > max(paper.idf1, 0.6)
