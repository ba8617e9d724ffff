import numpy as np
import pytest

from people.wording import as_cells, as_face_cells, as_json, counted, label_lines
from structures import ATTRIBUTES, Estimates, Gender, Smoothed

SHARES = np.array([0.1, 0.05, 0.71, 0.1, 0.04], np.float32)
FEMALE = Smoothed(34.4, 4.2, 0.93, Gender.FEMALE, 20, True)


@pytest.mark.parametrize(
    ("person", "kind", "lines"),
    [
        (None, "auto", ["#3"]),
        (None, "short", []),
        (FEMALE, "auto", ["#3 female 34"]),
        (FEMALE, "full", ["#3 female 34 ±4"]),
        (FEMALE, "short", ["F 34"]),
        (FEMALE, "none", []),
        (Smoothed(34.4, 4.2, 0.5, Gender.UNSURE, 2, False), "full", ["#3 ? 34 ±4"]),
        (Smoothed(34.4, 12.3, 0.9, Gender.FEMALE, 2, False), "auto", ["#3 female 34?"]),
        (Smoothed(7.6, 0.2, 0.1, Gender.MALE, 99, True), "full", ["#3 male 8 ±1"]),
        (
            Smoothed(34.4, 4.2, 0.1, Gender.MALE, 9, True, SHARES),
            "full",
            ["#3 male 34 ±4", "Asian 71 %"],
        ),
    ],
)
def test_a_label_says_what_is_known_and_no_more(
    person: Smoothed | None, kind: str, lines: list[str]
) -> None:
    assert label_lines(person, "#3", kind) == lines


def test_nothing_known_and_no_name_makes_no_label() -> None:
    assert label_lines(None) == []
    assert label_lines(FEMALE) == ["female 34"]


def test_records_cells_and_labels_agree_on_a_person() -> None:
    person = Smoothed(34.4, 4.2, 0.93, Gender.FEMALE, 20, True, SHARES)
    values, cells = as_json(person, ATTRIBUTES), as_cells(person)
    assert values["ethnicity"]["Asian"] == float(cells["ethnicity_prob"]) == 0.71
    for name in ("age_years", "age_uncertainty_years", "female_prob", "samples"):
        assert float(cells[name]) == values[name]
    assert cells["gender"] == values["gender"] == "female"


def test_of_somebody_without_an_estimate_nothing_is_said() -> None:
    assert as_cells(None) == {"samples": "0"}
    assert as_json(None, ["age"]) == {
        "samples": 0, "age_years": None, "age_uncertainty_years": None,
    }  # fmt: skip


def test_a_single_face_is_unsure_where_its_estimate_is() -> None:
    one = np.array([0.5], np.float32)
    cells = as_face_cells(Estimates(one * 68.2, one * 8, one, SHARES[None]), 0)
    assert (cells["age_years"], cells["gender"], cells["asian_prob"]) == (34.1, "unsure", 0.71)


def test_one_is_not_counted_in_the_plural() -> None:
    assert [counted(n, "face") for n in (0, 1, 2)] == ["0 faces", "1 face", "2 faces"]
    assert [counted(n, "person", "people") for n in (1, 2)] == ["1 person", "2 people"]
