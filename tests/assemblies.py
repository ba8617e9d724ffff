"""Assemblies of scripted stages, in place of the networks."""

from collections.abc import Callable

from detectors import Detector
from estimators import Estimator
from program.assemble import Assembly
from program.options import ModelOptions, TrackingOptions
from tests.fakes import ConstantEstimator


def scripted(
    make_detector: Callable[[], Detector],
    make_estimator: Callable[[], Estimator] = ConstantEstimator,
) -> Callable[[ModelOptions, TrackingOptions], Assembly]:
    """What `stream.Factories` and `archive.jobs.JobContext` take: stages made by these two."""

    def detector(*_: object, **__: object) -> Detector:
        return make_detector()

    def estimator(*_: object, **__: object) -> Estimator:
        return make_estimator()

    def assemble(models: ModelOptions, tracking: TrackingOptions) -> Assembly:
        return Assembly(models, tracking, detector, estimator)

    return assemble
