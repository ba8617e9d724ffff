"""The learning rate over a run."""

from __future__ import annotations

import math

from training.fitting.settings import Settings


def rate(settings: Settings, epochs: float, minutes: float) -> float:
    """The learning rate after so many epochs and minutes.

    While the backbone is frozen: constant, after a warm-up. Then by the used share of the
    remaining epochs or of all minutes, whichever is larger: so a slow machine, or one that
    others use too, still anneals to the end.

    Args:
        settings: of the run.
        epochs: done, with their fraction.
        minutes: spent on fitting.
    """
    frozen = settings.frozen_epochs
    if epochs < frozen:
        rising = settings.warmup and epochs / frozen < settings.warmup
        warm = factor(epochs / frozen, settings.warmup) if rising else 1.0
        return (settings.frozen_rate or settings.rate) * warm
    used = (epochs - frozen) / (settings.epochs - frozen)
    if settings.minutes:
        used = max(used, minutes / settings.minutes)
    if settings.schedule == "constant":
        return settings.rate * (factor(used, settings.warmup) if used < settings.warmup else 1.0)
    return settings.rate * factor(used, settings.warmup)


def factor(used: float, warmup: float) -> float:
    """A rise from 2 % during the warm-up, then half a cosine down to 1 %; of shares 0..1."""
    if used < warmup:
        return 0.02 + 0.98 * used / warmup
    left = min(1.0, (used - warmup) / (1 - warmup))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * left))
