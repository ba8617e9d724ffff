"""The page of an evaluation: everything in one HTML file that needs no network."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from training.judging.contenders import Contender
from training.judging.report import ages, classes, models
from training.judging.report.faces import grids
from training.judging.report.tables import by_set, count_line, group_table, overview, set_title
from training.judging.results import Result
from training.judging.scores import FEW
from training.versions import git, packages

_HERE = Path(__file__).resolve().parent
_PACKAGES = ("numpy", "opencv-python", "openvino", "onnxruntime", "tensorflow-cpu", "keras")
_READING = f"""<p class="soft">Small figures are 95 % intervals: how far a figure might be off
because there are only so many faces; photographs of one person count as one. Figures in
<span class="unsure">grey italics</span> rest on fewer than {FEW} people and say little. Bias is
told minus labelled age: + means told too old. Labels are apparent age, perceived gender and
the groups that the set's makers used, not facts about people. What all the figures mean is
in docs/evaluation.md.</p>"""


def about(seed: int, resamples: int) -> dict[str, Any]:
    """When, with what and on what kind of machine an evaluation was made."""
    return {
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "seed": seed,
        "resamples": resamples,
        "versions": {"python": platform.python_version()} | packages(_PACKAGES),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "commit": git("rev-parse", "--short", "HEAD"),
    }


def page(
    results: Sequence[Result],
    contenders: Sequence[Contender],
    made: Mapping[str, Any],
    seed: int,
    faces: bool,
) -> str:
    """The report.

    Args:
        results: what was measured, set by set.
        contenders: the networks, timed.
        made: what `about` gives.
        seed: chooses the faces that are shown.
        faces: whether any are.
    """
    sets = by_set(results)
    links = "".join(f'<a href="#set{i}">{escape(set_title(s))}</a>' for i, s in enumerate(sets))
    versions = ", ".join(f"{name} {number}" for name, number in made["versions"].items())
    beside = models.figures(results, contenders) if len(contenders) > 1 else []
    parts = [
        f"<h1>Evaluation</h1><p class='soft'>{escape(made['made'])}</p>",
        f'<nav><a href="#overview">Overview</a>{links}</nav>',
        f'<section id="overview"><h2>Overview</h2>{_READING}{overview(results, contenders)}',
        f'<h3>Side by side</h3><div class="figures">{"".join(beside)}</div>' if beside else "",
        "</section>",
    ]
    for i, (name, found) in enumerate(sets.items()):
        notes = "".join(f'<p class="note">{escape(note)}</p>' for note in found[0].examples.notes)
        parts.append(f'<section id="set{i}"><h2>{escape(set_title(name))}</h2>')
        parts.append(f"<p>{escape(count_line(found[0]))}</p>{notes}")
        parts += [_details(result, seed, faces, result is found[0]) for result in found]
        parts.append("</section>")
    how = f"{made['machine']}; {versions}; commit {made['commit'] or 'unknown'}; seed {seed}"
    parts.append(f"<p class='soft'>Made on {escape(how)}.</p>")
    return shell("Evaluation", "".join(parts))


def _details(result: Result, seed: int, faces: bool, opened: bool) -> str:
    """Everything on one network and one set."""
    pictures = ages.figures(result)
    pictures += [classes.matrix(table) for table in result.tables] + classes.sureness(result)
    tables = "".join(classes.class_table(table) for table in result.tables)
    shown = grids(result, seed) if faces else ""
    return (
        f"<details{' open' if opened else ''}><summary>{escape(result.model)}</summary>"
        f"{group_table(result)}<h4>Figures</h4><div class='figures'>{''.join(pictures)}</div>"
        f"<h4>Class by class</h4><div class='figures tables'>{tables}</div>{shown}</details>"
    )


def shell(title: str, body: str) -> str:
    """A whole HTML page around `body`."""
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>{body}</body></html>\n"
    )
