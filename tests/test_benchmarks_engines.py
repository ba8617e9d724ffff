from collections.abc import Callable
from itertools import groupby

import pytest

from benchmarks import engines
from estimators.weights import Weights
from structures import Image


class Counted:
    """An engine that does nothing but write down whose turn it is."""

    input_size = 8

    def __init__(self, name: str, turns: list[tuple[str, int]]) -> None:
        self._name, self._turns = name, turns

    def submit(self, chips: Image) -> Callable[[], None]:
        self._turns.append((self._name, len(chips)))
        return lambda: None


def test_all_networks_on_all_engines_take_turns_call_by_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns: list[tuple[str, int]] = []
    networks = {name: Weights(name, "any", {}, {}, 1.0, "") for name in ("small", "large")}
    monkeypatch.setattr(engines, "available", lambda weights: ["one", "other"])
    monkeypatch.setattr(
        engines, "engine_of", lambda label, weights: Counted(f"{weights.name} {label}", turns)
    )
    found = engines.times(networks, repeat=3)
    assert list(found) == list(networks)
    assert all(list(ms) == ["one", "other"] for ms in found.values())
    assert all(len(ms) == len(engines.BATCHES) for name in found for ms in found[name].values())
    order = ["small one", "small other", "large one", "large other"]
    for batch, calls in groupby(turns, key=lambda turn: turn[1]):
        assert [name for name, _ in calls] == order * 5, batch  # two rounds are not counted
