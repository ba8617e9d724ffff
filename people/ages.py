"""The mean apparent age of those who left, by camera and perceived gender."""

import math
from collections.abc import Collection, Iterable
from typing import Any

from people.visits import Visit
from people.wording import rounded
from structures import Gender


class MeanAges:
    """Sums up the ages of visits that ended; does not grow with their number."""

    def __init__(self) -> None:
        self._ages: dict[tuple[str, Gender], tuple[int, float]] = {}  # people, years

    def add(self, visits: Iterable[Visit]) -> None:
        """Add those who left; who has no estimate is left out."""
        for visit in visits:
            person = visit.person
            if person is not None and math.isfinite(person.age_years):
                key = visit.camera, person.gender
                people, years = self._ages.get(key, (0, 0.0))
                self._ages[key] = people + 1, years + person.age_years

    def clear(self) -> None:
        """Forget all of them."""
        self._ages.clear()

    def of(self, camera: str, attributes: Collection[str]) -> dict[str, Any]:
        """The means of a camera in years, as in aggregate records; None where nobody was added.

        Who is "unsure" is in the mean of all only. What is not among `attributes` is left out.
        """
        if "age" not in attributes:
            return {}
        means: dict[str, Any] = {"age_years": self._mean(camera, *Gender)}
        if "gender" in attributes:
            each = {str(g): self._mean(camera, g) for g in (Gender.FEMALE, Gender.MALE)}
            means["age_years_by_gender"] = each
        return means

    def _mean(self, camera: str, *genders: Gender) -> float | None:
        added = [self._ages.get((camera, gender), (0, 0.0)) for gender in genders]
        people, years = (sum(column) for column in zip(*added, strict=True))
        return rounded(years / people, 1) if people else None
