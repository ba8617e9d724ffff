import re
from collections.abc import Sequence

import numpy as np
import pytest

from structures import Estimates
from tests.evaluations import answers, chips_of, faces
from tests.fakes import ConstantEstimator
from training.chips import Chips
from training.judging import report
from training.judging.contenders import Contender
from training.judging.labelled_photos import Examples
from training.judging.report import charts
from training.judging.report.age_charts import _slope_error
from training.judging.report.charts import comparisons
from training.judging.report.pages import grids, showcase
from training.judging.report.tables import lost_sets, model_card, short_table
from training.judging.results import Result, judge
from training.judging.scores import groups_of
from training.labels import Face


def result_of(
    some: Sequence[Face],
    model: str = "net",
    name: str = "set test",
    told: Estimates | None = None,
    schemes: Sequence[int] = (7,),
    missed: Chips | None = None,
) -> Result:
    chips = chips_of(some)
    examples = Examples(name, chips, missed)
    told = told or answers(chips)
    return judge(model, examples, told, groups_of(chips), schemes, 20, 0)


def page_of(*results: Result, faces: bool = True) -> str:
    names = dict.fromkeys(result.model for result in results)
    networks = [Contender(name, ConstantEstimator(), {1: 2.0, 8: 1.0}) for name in names]
    return report.page(results, networks, report.about(0, 20), faces)


@pytest.fixture(autouse=True)
def coarse_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn in a fifth of the time."""
    monkeypatch.setattr(charts, "DPI", 40)


ODD_SETS = {
    "one face": [Face("a", (30, 30), True, 0)],
    "one age": [Face(f"{i}", (30, 30), True, 0) for i in range(30)],
    "nothing labelled": [Face(f"{i}") for i in range(3)],
    "only ranges": [Face(f"{i}", (10 * (i % 8), 10 * (i % 8) + 9), bool(i % 2)) for i in range(40)],
    "only genders": [Face(f"{i}", None, bool(i % 2)) for i in range(30)],
    "very old": [Face(f"{i}", (80 + i, 80 + i), True, 4) for i in range(37)],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD_SETS)
def test_a_page_can_be_made_of_odd_sets(name: str) -> None:
    page = page_of(result_of(ODD_SETS[name], name=name))
    assert page.endswith("</html>\n") and f"<h2>{name}</h2>" in page
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page)


@pytest.mark.slow
def test_a_page_can_be_made_of_a_network_that_always_says_the_same() -> None:
    some = faces(60)
    told = ConstantEstimator().estimate(chips_of(some).images)
    page = page_of(result_of(some, "<b>net</b>", "<script>x", told=told))
    assert "ethnicity, %" not in page  # it tells none
    assert "<script" not in page and "<b>net" not in page


def test_faces_shown_are_of_all_ages() -> None:
    some = [Face(f"{i}", (25, 25)) for i in range(200)] + [Face("old", (80, 80)), Face("b", (1, 1))]
    result = result_of(some)
    ages = result.examples.chips.age_low[showcase(result, 0)]
    assert len(ages) == 12 and set(ages) == {25, 80, 1}


def test_the_worst_mistakes_come_first() -> None:
    some = [Face(f"{i}", (30, 30), False, 0) for i in range(5)]
    years = np.array([30, 41, 33, 62, 29], np.float32)
    female = np.array([0.1, 0.6, 0.2, 0.7, 0.99], np.float32)
    told = Estimates(years, np.full(5, 4, np.float32), female)
    _, (_, age), (_, gender) = grids(result_of(some, told=told), 0)
    assert [tile.estimated.split()[0] for tile in age] == ["62", "41", "33", "29"]
    sure = [re.findall(r"female (\d+)\s%", tile.estimated) for tile in gender]
    assert sure == [["99"], ["70"], ["60"]]


@pytest.mark.parametrize("spread", ["even", "growing"])
def test_the_slopes_interval_holds_it_in_19_cases_of_20(spread: str) -> None:
    rng = np.random.default_rng(0)
    age = np.linspace(0, 80, 120)
    sd = 5 if spread == "even" else age / 8
    hits = 0
    for _ in range(1000):
        error = 3 - 0.1 * age + rng.normal(0, sd, len(age))
        slope, start = np.polyfit(age, error, 1)
        hits += abs(slope + 0.1) <= _slope_error(age, error, slope, start)
    assert 0.925 < hits / 1000 < 0.97


def test_a_card_has_the_groups_of_all_its_sets() -> None:
    ranged = [Face(f"{i}", (60, 69), True) for i in range(25)]
    results = [result_of(faces(100), name="utkface test"), result_of(ranged, name="fairface test")]
    lines = model_card(results, "mine", "do it").splitlines()
    assert lines[:3] == ["# mine", "", "## Accuracy"]
    assert lines[3] == (
        "| | UTKFace test: n | MAE | bias | gender "
        "| FairFace test: n | years outside range | bias | gender |"
    )
    rows = {line.split(" | ")[0].strip("| *"): line.split(" | ") for line in lines[5:23]}
    assert rows["male"][5:] == ["0", "-", "-", "- |"]
    male = sum(face.female is False for face in faces(100))
    assert rows["male"][1] == str(male)
    assert rows["60-69"][5] == rows["all"][5] == "25"
    mae = results[0].scores["all"]["mae_years"].value
    assert rows["all"][2] == f"**{mae:.2f}**"
    assert lines[-1] == "`do it` reproduces these figures."


def test_a_new_section_leaves_the_rest_of_a_card_alone() -> None:
    old = "# net\n\n## Recipe\nx\n\n## Accuracy\n1\n\n## Accuracy of old\n2\n"
    results = [result_of(faces(30))]
    new = model_card(results, "net", "do it", old)
    assert new.startswith("# net\n\n## Recipe\nx\n\n## Accuracy\n| ")
    assert new.endswith("\n\n## Accuracy of old\n2\n") and "\n1\n" not in new
    assert model_card(results, "net", "do it", new) == new
    assert model_card(results, "net", "do it", "# net\n").startswith("# net\n\n## Accuracy\n| ")


@pytest.mark.parametrize("title", ["### Accuracy", "## Accuracy on faces", "Text ## Accuracy"])
def test_a_card_without_the_section_gets_it_at_its_end(title: str) -> None:
    old = f"# net\n\n{title}\nmine\n"
    new = model_card([result_of(faces(30))], "net", "do it", old)
    assert new.startswith(f"{old}\n## Accuracy\n| ")
    spaced = new.replace("\n## Accuracy\n", "\n## Accuracy \n")
    assert model_card([result_of(faces(30))], "net", "do it", spaced) == new


def test_figures_that_a_command_would_lose_are_named() -> None:
    full = "evaluate net --both-ways --data DIR --sets a b:val --folder f=DIR --names f "
    full += "--detector mtcnn dlib --out DIR"
    old = model_card([result_of(faces(30))], "net", full) + "\n## More\n`--sets c`\n"
    assert lost_sets(old, full) == []
    assert lost_sets(old, "evaluate net --data DIR --sets b a --out DIR") == [
        "b:val", "f by dlib", "f by mtcnn",
    ]  # fmt: skip
    assert lost_sets(old, full.replace(" dlib", "")) == ["f by dlib"]
    assert lost_sets("# net\n", full) == []


def test_the_short_table_says_why_a_figure_is_missing() -> None:
    some = faces(40)
    told = answers(chips_of(some), ethnicity=False)
    results = [result_of(some, "whole"), result_of(some, "half", told=told)]
    networks = [Contender(name, ConstantEstimator(), {1: 2.0}) for name in ("whole", "half")]
    rows = short_table(results, networks).splitlines()
    column = rows[2].split(" | ").index("ethnicity, %")
    assert rows[5].split(" | ")[column] == "not estimated"
    assert re.match(r"\d+\.\d \(", rows[4].split(" | ")[column])


def test_networks_are_compared_by_what_is_labelled() -> None:
    networks = [Contender(name, ConstantEstimator(), {1: 2.0}) for name in ("a", "b")]
    genders = [Face(f"{i}", None, bool(i % 2)) for i in range(30)]
    drawn = comparisons([result_of(genders, name) for name in ("a", "b")], networks)
    assert [drawing.caption for drawing in drawn] == [
        "set test: gender of each network; the lines are 95 % intervals.",
        "set test: gender against time, measured in this run.",
    ]
    bare = [Face(f"{i}") for i in range(30)]
    assert comparisons([result_of(bare, name) for name in ("a", "b")], networks) == []


def test_the_error_card_counts_faces_that_are_missed_in_their_group() -> None:
    some = [Face(f"{i}", (30, 30), True, 0) for i in range(25)]
    missed = chips_of([Face("x", (4, 4), True, 0), Face("y", (5, 5), False, 1)])
    card = report.error_card([result_of(some, name="mine", missed=missed)])
    assert "<strong>2 of 27</strong>" in card
    counts = re.findall(
        r"<tr><th>([^<]*)(?:<small.*?</small>)?</th><td>(\d+)</td><td>(\d+)</td>", card
    )
    assert counts == [
        ("all", "25", "2"), ("male", "0", "1"), ("female", "25", "1"), ("White", "25", "1"),
        ("Black", "0", "1"), ("0-9", "0", "2"), ("30-39", "25", "0"),
    ]  # fmt: skip
    unsure = re.findall(r"<tr><th>([^<]*)<small[^>]*>unsure, 0 people", card)
    assert unsure == ["male", "Black", "0-9"]
