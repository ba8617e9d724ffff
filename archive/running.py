"""Which jobs a film needs, and running those of all films.

A film's jobs are a generator: it yields jobs that can run in parallel and is sent their
results. The executor decides which worker runs what and when.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from archive.films import Film, Report, keep
from archive.jobs import FilmFacts, FilmOptions, Outcome, annotate
from archive.slices import Slice, analyse, cut, draw, finish, index_film, join
from archive.workers import WORKER_DIED, Workers

SHORTEST_S, LONGEST_S = 60.0, 600.0  # of slices; the overlap costs 3 % of the shortest
SLICES_PER_WORKER = 3  # so that all workers finish at nearly the same time
_LOOK_S = 0.25  # between two looks at the progress


class FilmJob(NamedTuple):
    """A function of this package and its arguments, the context left out."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


Jobs = Generator[list[FilmJob], list[Any], Report]


class FilmFailedError(Exception):
    """A job of a film failed; `str()` of it is one line on why."""


def choose_slice_s(seconds: Iterable[float], workers: int) -> float:
    """The length of slices that keeps all workers busy to the end; 0 = no slices.

    With many films a worker's share is longer than each film, and none is cut. A single
    worker gains nothing from slices: they are read twice, to find and to draw.
    """
    if workers == 1:
        return 0.0
    share = sum(seconds) / (workers * SLICES_PER_WORKER)
    return min(max(share, SHORTEST_S), LONGEST_S)


def jobs_of(
    film: Film, options: FilmOptions, facts: FilmFacts, expect: Callable[[int], None]
) -> Jobs:
    """The jobs of one film, in slices of `film.slice_s` (0 = whole) where that is possible.

    `expect` is called with the number of frames to be counted beside those of `facts`.
    """
    parts: list[Slice] = []
    if film.slice_s and facts.seconds > film.slice_s:
        (frames,) = yield [FilmJob(index_film, (film,))]
        parts = cut(frames, facts.fps, film.slice_s, options.tracking) if frames else []
    if len(parts) < 2:
        (report,) = yield [FilmJob(annotate, (film, options))]
        return report
    analysed = sum(part.until - part.first for part in parts)
    drawn = parts[-1].stop if options.video else 0
    expect(analysed + drawn - facts.frames)
    yield [FilmJob(analyse, (film, options, part)) for part in parts]
    ((report, one_size),) = yield [FilmJob(join, (film, options, parts))]
    stretches: list[list[Slice]] = []
    if options.video:  # where the image size changes one recording numbers the parts
        stretches = [[part] for part in parts] if one_size else [parts]
        yield [FilmJob(draw, (film, options, stretch)) for stretch in stretches]
    (report,) = yield [FilmJob(finish, (film, options, report, stretches))]
    return report


@dataclass(slots=True)
class _Running:
    """A film that is being annotated."""

    film: Film
    jobs: Jobs
    futures: list[Future[Outcome]]
    done: list[Outcome]


def run_films(
    films: Iterable[tuple[Film, Jobs]], workers: Workers, look: Callable[[], None]
) -> Iterator[tuple[Film, Report | FilmFailedError]]:
    """Run the jobs of all films; yields the films in the order in which they finish.

    Args:
        films: in the order in which to begin them.
        workers: run the jobs.
        look: called several times a second, to show the progress.
    """
    running = [_Running(film, jobs, [], []) for film, jobs in films]
    for each in running:
        each.futures = [workers.submit(job.function, *job.arguments) for job in next(each.jobs)]
    while running:
        # Without those already done, which would end each wait at once.
        under_way = [f for each in running for f in each.futures if not f.done()]
        wait(under_way, _LOOK_S, FIRST_COMPLETED)
        look()
        for each in list(running):
            if (end := _advance(each, workers)) is not None:
                running.remove(each)
                yield each.film, end


def _advance(each: _Running, workers: Workers) -> Report | FilmFailedError | None:
    """Submit a film's next jobs if it is ready for them; returns its result at the end."""
    outcomes = [outcome_of(future) for future in each.futures if future.done()]
    if error := next((outcome.error for outcome in outcomes if outcome.error), ""):
        for future in each.futures:
            workers.cancel(future)
        each.jobs.close()
        return FilmFailedError(error)
    if len(outcomes) < len(each.futures):
        return None
    each.done += outcomes
    try:
        jobs = each.jobs.send([outcome.value for outcome in outcomes])
    except StopIteration as end:
        return _finished(each, end.value)
    each.futures = [workers.submit(job.function, *job.arguments) for job in jobs]
    return None


def _finished(each: _Running, report: Report) -> Report:
    """Complete and save the report of a film that is done."""
    seconds = max(o.ended_s for o in each.done) - min(o.began_s for o in each.done)
    notes = dict.fromkeys(note for outcome in each.done for note in outcome.notes)
    whole = replace(report, seconds=round(seconds, 2), notes=tuple(notes))
    keep(replace(each.film, report=whole))
    return whole


def outcome_of(future: Future[Outcome]) -> Outcome:
    """The outcome of a finished future, also where its worker was lost."""
    try:
        return future.result()
    except CancelledError:
        return Outcome(error="stopped")
    except Exception as error:  # Ray's are many
        return Outcome(error=f"{WORKER_DIED} ({type(error).__name__})")
