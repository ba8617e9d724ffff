"""Age and gender of the faces in an archive of films: annotated with all cores, or a cluster.

Run again, the command skips finished films and continues with what an interrupted run left.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from archive.films import (
    Film,
    Report,
    find_films,
    keep,
    make_folder,
    plan_outputs,
    sole_user,
    state_of,
)
from archive.jobs import FilmFacts, FilmOptions, check_models, look_at
from archive.running import FilmFailedError, choose_slice_s, jobs_of, outcome_of, run_films
from archive.workers import LocalWorkers, Workers
from errors import StreamError
from files import created_with
from people.wording import counted
from program.completion import add_completion
from program.options import (
    GeneralOptions,
    ModelOptions,
    OneLineParser,
    PictureOptions,
    ReportOptions,
    TrackingOptions,
    add_flags,
    add_shared_flags,
    collect,
    number,
    set_up_logging,
    settle_privacy,
    signals_handled,
)

EPILOG = """\
For each film DIR gets NAME.mp4, NAME.jsonl and, unless --anonymous, NAME.csv. Ctrl-C stops; rerun
the command to resume.

examples:
  python batch.py films/ --out annotated/                  all films of a folder
  python batch.py 'tapes/**/*.mkv' --out out/ --no-video   tables only
  python batch.py films/ --out out/ --ray head:6379        on a Ray cluster; where it wants a
                            token, set RAY_AUTH_MODE=token and have ~/.ray/auth_token here
"""
_INTERRUPTED = 130
_TICK_S = 0.25  # the longest delay of Ctrl-C


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; bad values end the program with one line and exit code 2."""
    parser = OneLineParser(
        prog="batch.py",
        description=__doc__.partition("\n")[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "films", nargs="+", metavar="FILM", help="films, folders of films, patterns such as '*.mp4'"
    )
    out = parser.add_argument_group("output")
    out.add_argument("--out", required=True, metavar="DIR", help="where everything goes; is made")
    out.add_argument("--no-video", action="store_true", help="events and people only")
    add_flags(out, ReportOptions)
    work = parser.add_argument_group("work")
    work.add_argument(
        "--workers",
        type=number(int, 1, 1024),
        metavar="N",
        help="processes at a time (default: one per core)",
    )
    work.add_argument(
        "--slice",
        type=number(float, 0),
        metavar="SECONDS",
        help="cut longer films into slices of that length, processed in parallel; 0 = never "
        "(default: what keeps all workers busy)",
    )
    work.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run on the Ray cluster at host:port, or on a Ray of this machine (local); "
        "all machines must see the films, DIR and this program under the same paths",
    )
    add_shared_flags(parser)
    add_flags(parser, GeneralOptions)
    add_completion(parser)
    options = parser.parse_args(arguments)
    settle_privacy(options)
    if options.ray and options.ray != "local" and options.workers:
        parser.error("a cluster has its own number of workers; leave --workers out")
    return options


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def film_options(options: argparse.Namespace, workers: int) -> FilmOptions:
    """The options for the workers; the threads are divided among them."""
    models = collect(ModelOptions, options)
    if models.weights and Path(models.weights).is_file():  # workers elsewhere have another folder
        models = replace(models, weights=str(Path(models.weights).absolute()))
    if not models.threads:
        models = replace(models, threads=1 if options.ray else max(1, cores() // workers))
    tracking = collect(TrackingOptions, options)
    style = collect(PictureOptions, options).style
    style = replace(style, font=style.font.absolute())
    video, purpose = not options.no_video, options.lawful_purpose
    return FilmOptions(models, tracking, options.anonymous, video, style, purpose)


def open_cluster(address: str, count: int, threads: int) -> Workers:
    """Connect to Ray, imported only here; raises EngineError if it is missing or silent."""
    from archive.cluster import RayWorkers

    return RayWorkers(address, count, threads)


class CtrlC:
    """Remembers Ctrl-C and SIGTERM until it is safe to act on them.

    A `KeyboardInterrupt` in the middle of `concurrent.futures.wait` would leave locks behind
    that block the workers forever. Pressed again, it is raised at once.
    """

    def __init__(self) -> None:
        self._pressed = False

    def press(self, _signal: int, _frame: FrameType | None) -> None:
        """The signals' handler."""
        if self._pressed:
            raise KeyboardInterrupt
        self._pressed = True

    def check(self) -> None:
        """Raise KeyboardInterrupt if it has been pressed."""
        if self._pressed:
            raise KeyboardInterrupt


@dataclass
class Run:
    """The state of all films.

    Attributes:
        ctrl_c: checked several times a second.
        films: in the order of the command line.
        reports: of the finished ones, by name.
        failures: why others failed, by name.
        before: names of those finished by an earlier run.
    """

    ctrl_c: CtrlC
    films: list[Film]
    reports: dict[str, Report] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    before: set[str] = field(default_factory=set)

    def lines(self) -> Iterator[str]:
        """One line for each film that is done or failed."""
        width = max(len(film.name) for film in self.films)
        for film in self.films:
            name = film.name.ljust(width)
            if report := self.reports.get(film.name):
                fps = report.frames / max(report.seconds, 1e-9)
                parts = [
                    f"{report.frames} frames",
                    f"{fps:.1f} frames/s",
                    counted(report.people, "person", "people"),
                ]
                parts += ["done before"] * (film.name in self.before) + list(report.notes)
                if film.name != film.path.stem:  # two films have one name
                    parts.append(f"from {film.path}")
                yield f"{name}  {', '.join(parts)}"
            elif problem := self.failures.get(film.name):
                yield f"{name}  failed: {problem}"


def look_at_all(run: Run, workers: Workers, options: FilmOptions) -> dict[str, FilmFacts]:
    """Probe the films that are not done yet, and load the engines meanwhile.

    Returns the facts of those that can be opened, by name; raises StreamError where the
    engines are not available.
    """
    check = workers.submit(check_models, options)
    films = [film for film in run.films if film.name not in run.before]
    looks = {film.name: workers.submit(look_at, film) for film in films}
    while wait([check, *looks.values()], _TICK_S).not_done:
        run.ctrl_c.check()
    run.ctrl_c.check()  # the same signal may have killed the workers
    if problem := outcome_of(check).error:
        raise StreamError(problem)
    outcomes = {name: outcome_of(future) for name, future in looks.items()}
    run.failures |= {name: outcome.error for name, outcome in outcomes.items() if outcome.error}
    return {name: outcome.value for name, outcome in outcomes.items() if not outcome.error}


def annotate_all(run: Run, workers: Workers, options: FilmOptions, slice_s: float | None) -> None:
    """Annotate all films that are not done yet; `run` receives their reports and failures.

    `slice_s` is the length of slices, 0 = none, None = what keeps all workers busy.
    """
    facts = look_at_all(run, workers, options)
    if slice_s is None:
        slice_s = choose_slice_s((each.seconds for each in facts.values()), workers.count)
    films = [film for film in run.films if film.name in facts]
    films.sort(key=lambda film: -facts[film.name].frames)
    seen = workers.frames()
    total = sum(each.frames for each in facts.values())
    with tqdm(total=total, unit="frame", disable=None) as bar:

        def expect(frames: int) -> None:
            bar.total += frames

        def show() -> None:
            run.ctrl_c.check()
            bar.update(workers.frames() - seen - bar.n)

        begun = []
        for film in films:
            film = replace(film, slice_s=slice_s if film.slice_s is None else film.slice_s)
            keep(film)
            begun.append((film, jobs_of(film, options, facts[film.name], expect)))
        for film, end in run_films(begun, workers, show):
            if isinstance(end, FilmFailedError):
                run.failures[film.name] = str(end)
            else:
                run.reports[film.name] = end


def main(
    arguments: Sequence[str] | None = None,
    make_workers: Callable[[int], Workers] = LocalWorkers,
) -> int:
    """Run the program; tests hand in what makes so many workers of this machine.

    Returns:
        The exit code: 0, 1 where a film failed, 2 after one line on what is wrong, 130
        after Ctrl-C.
    """
    options = parse_arguments(arguments)
    set_up_logging(options.verbose)
    ctrl_c = CtrlC()
    with created_with(options.file_mode), signals_handled(ctrl_c.press):
        try:
            return open_and_run(options, ctrl_c, make_workers)
        except StreamError as error:
            _say(str(error))
            return 2
        except KeyboardInterrupt:  # while things were still being opened
            _say("stopped; nothing was begun")
            return _INTERRUPTED


def open_and_run(
    options: argparse.Namespace, ctrl_c: CtrlC, make_workers: Callable[[int], Workers]
) -> int:
    """Do what the options ask for; returns the exit code."""
    folder = Path(options.out).expanduser().resolve()
    paths = find_films(options.films, folder)
    make_folder(folder)
    count = options.workers or cores()
    wanted = film_options(options, count)
    with sole_user(folder):
        run = Run(ctrl_c, plan_outputs(paths, folder, _made_by(wanted)))
        run.reports = {film.name: film.report for film in run.films if film.report}
        run.before = set(run.reports)
        if len(run.before) < len(run.films):
            if options.ray:
                workers = open_cluster(options.ray, count, wanted.models.threads)
            else:
                workers = make_workers(count)
            try:
                annotate_all(run, workers, wanted, options.slice)
            except BaseException as error:
                with signals_handled(signal.SIG_IGN):  # so that nothing half-done is left
                    workers.stop()
                if isinstance(error, KeyboardInterrupt):
                    return _summary(run, stopped=True)
                raise
            workers.close()
    return _summary(run)


def _made_by(options: FilmOptions) -> dict[str, object]:
    """The options that the outputs depend on, as they come back from JSON."""
    made_by = asdict(options)
    del made_by["models"]["threads"]
    if not options.video:  # nothing is drawn
        del made_by["style"]
    if options.models.weights and (weights := Path(options.models.weights)).is_file():
        made_by["weights"] = state_of(weights)
    return json.loads(json.dumps(made_by, default=str))


def _summary(run: Run, stopped: bool = False) -> int:
    """Print one line a film; returns the exit code."""
    encoding = sys.stdout.encoding or "utf-8"
    for line in run.lines():  # a film's name need not be text
        print(line.encode(encoding, "backslashreplace").decode(encoding))
    if stopped:
        done = f"{len(run.reports)} of {len(run.films)} films are done"
        _say(f"stopped; {done}; rerun the command to resume")
        return _INTERRUPTED
    return 1 if run.failures else 0


def _say(text: str) -> None:
    print(f"batch.py: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
