"""One person as JSON, as cells of a table, as the lines of a label.

The number of digits is decided here only. `attributes` are those of `structures.ATTRIBUTES`
to report.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from structures import ATTRIBUTES, ETHNICITIES, Estimates, Float32, Gender, Smoothed

COLUMNS = {
    "age": ("age_years", "age_uncertainty_years"),
    "gender": ("gender", "female_prob"),
    "ethnicity": ("ethnicity", "ethnicity_prob"),
}
"""Attribute -> its columns in a table of people."""
LABELS = ("auto", "full", "short", "none")
UNSURE_YEARS = 10.0  # an interval of 20 years says little


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return "1 face", "2 faces"; `many` is the plural where it is not made by an s."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def rounded(value: float, digits: int) -> float | None:
    """Return a plain float of so many digits; None where it is not finite."""
    value = float(value)
    return round(value, digits) if math.isfinite(value) else None


def top_ethnicity(probs: Float32) -> tuple[str, float]:
    """The likeliest of `ETHNICITIES` and its share, of (5,) float32 shares."""
    top = int(np.argmax(probs))
    return ETHNICITIES[top], float(probs[top])


def as_json(person: Smoothed | None, attributes: Collection[str]) -> dict[str, Any]:
    """A person's values for records; None before the first estimate."""
    values: dict[str, Any] = {"samples": person.samples if person else 0}
    if "age" in attributes:
        values["age_years"] = rounded(person.age_years, 2) if person else None
        spread = rounded(person.age_uncertainty_years, 2) if person else None
        values["age_uncertainty_years"] = spread
    if "gender" in attributes:
        values["female_prob"] = rounded(person.female_prob, 4) if person else None
        values["gender"] = person.gender.value if person else None
    if "ethnicity" in attributes and person and person.ethnicity_probs is not None:
        shares = (rounded(share, 4) for share in person.ethnicity_probs)
        values["ethnicity"] = dict(zip(ETHNICITIES, shares, strict=True))
    return values


def as_cells(person: Smoothed | None) -> dict[str, str]:
    """The cells of `COLUMNS` and "samples"; unknown ones are left out."""
    if person is None:
        return {"samples": "0"}
    cells = {
        "samples": str(person.samples),
        "age_years": f"{person.age_years:.1f}",
        "age_uncertainty_years": f"{person.age_uncertainty_years:.1f}",
        "gender": person.gender.value,
        "female_prob": f"{person.female_prob:.4f}",
    }
    if person.ethnicity_probs is not None:
        name, share = top_ethnicity(person.ethnicity_probs)
        cells |= {"ethnicity": name, "ethnicity_prob": f"{share:.4f}"}
    return cells


def as_face_cells(estimates: Estimates, i: int) -> dict[str, str | float]:
    """The cells of a single face: row `i` of estimates, not averaged."""
    female = float(estimates.female_prob[i])
    cells: dict[str, str | float] = {
        "age_years": round(float(estimates.age_years[i]), 1),
        "age_spread_years": round(float(estimates.age_spread_years[i]), 1),
        "gender": Gender.of(female).value,
        "female_prob": round(female, 3),
    }
    if estimates.ethnicity_probs is not None:
        for name, prob in zip(ETHNICITIES, estimates.ethnicity_probs[i], strict=True):
            cells[f"{name.lower()}_prob"] = round(float(prob), 3)
    return cells


def passage_words(places: Mapping[str, Any]) -> dict[str, str]:
    """What is told in the picture of lines and zones, by name: "door: 3 in, 1 out"."""
    words = {k: f"{k}: {n['in']} in, {n['out']} out" for k, n in places.get("lines", {}).items()}
    for name, numbers in places.get("zones", {}).items():
        words[name] = f"{name}: {numbers['now']} now, {numbers['entered']} entered"
    return words


def label_lines(
    person: Smoothed | None,
    name: str = "",
    kind: str = "auto",
    attributes: Collection[str] = ATTRIBUTES,
) -> list[str]:
    """The lines of a label, e.g. ["#3 female 34", "Asian 71 %"]; none if nothing is known.

    A doubtful word ends in a question mark: a gender that is unsure is "?", an age whose
    standard deviation is above `UNSURE_YEARS` is "34?".

    Args:
        person: None before the first estimate.
        name: put in front, such as "#3".
        kind: out of `LABELS`; auto says no interval, short neither that nor the name.
        attributes: which to report.
    """
    short = kind == "short"
    words = [name] if name and not short else []
    if kind == "none":
        return []
    if person is not None and "gender" in attributes:
        words.append(_gender_word(person.gender, short))
    if person is not None and "age" in attributes:
        doubt = "?" * (person.age_uncertainty_years > UNSURE_YEARS)
        words.append(f"{person.age_years:.0f}{doubt}")
        if kind == "full":
            words.append(f"±{max(1, round(person.age_uncertainty_years))}")
    lines = [" ".join(words)] if words else []
    if person is not None and person.ethnicity_probs is not None and "ethnicity" in attributes:
        top, share = top_ethnicity(person.ethnicity_probs)
        lines.append(f"{top} {100 * share:.0f} %")
    return lines


def _gender_word(gender: Gender, short: bool) -> str:
    if gender is Gender.UNSURE:
        return "?"
    return gender.value[0].upper() if short else gender.value
