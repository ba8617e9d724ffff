"""What the law asks of whoever runs the program: a purpose, and a sign for those who are filmed.

docs/law.md has the articles. The sign is `notice.html`, filled in with what a run's flags say.
"""

import argparse
import html
import importlib.resources
from collections.abc import Iterable, Sequence
from string import Template

from errors import SourceError
from files import begins_with, check_ours, check_writable, sink_error, write_whole
from sources import Source
from sources.open import is_camera

_MARK = "<!-- notice made by faces -->"
_REFUSED = (
    "ethnicity is not estimated live without --lawful-purpose TEXT: EU law, article 5(1)(g) of "
    "the AI Act, forbids to categorise people by biometrics to infer their race; the flag only "
    "records why you may, it is no legal basis (docs/law.md); or leave ethnicity out of "
    "--attributes"
)


def check_purpose(options: argparse.Namespace, sources: Iterable[Source] = ()) -> None:
    """Refuse to estimate ethnicity live where no purpose was given.

    Args:
        options: with `attributes`, `lawful_purpose` and `src`.
        sources: those that are open already: some only then say that they are live.

    Raises:
        SourceError: a source is a webcam or a network stream, and there is no purpose.
    """
    if "ethnicity" not in options.attributes or (options.lawful_purpose or "").strip():
        return
    imitated = all(text.startswith(("chaos:", "test:")) for text in options.src)  # films
    opened = any(source.is_live for source in sources)
    if any(map(is_camera, options.src)) or (opened and not imitated):
        raise SourceError(_REFUSED)


def write_notice(path: str, options: argparse.Namespace) -> None:
    """Write the sign to hang up where a run with these options films people.

    Raises:
        SinkError: it cannot be written, or is there already and not made here.
    """
    target = check_writable(path, (".html",), whole=True)
    check_ours(target, lambda old: begins_with(old, rb"<!doctype html>\s*" + _MARK.encode()))
    page = importlib.resources.files(__package__).joinpath("notice.html").read_text("utf-8")
    points = "\n".join(f"<li>{html.escape(point)}</li>" for point in _points(options))
    purpose = html.escape(options.lawful_purpose or "")
    what = _listed(options.attributes)
    filled = Template(page).substitute(mark=_MARK, what=what, points=points, purpose=purpose)
    try:
        write_whole(target, filled.encode())
    except OSError as error:
        raise sink_error(target, error) from error


def _points(options: argparse.Namespace) -> list[str]:
    """What happens to people in front of the camera, a sentence each."""
    points = [
        f"A computer finds faces in the picture and estimates {_listed(options.attributes)}. "
        "These are guesses about how a face looks, not facts.",
        "It does not know who you are, and it does not estimate emotions.",
    ]
    if options.attention:
        points.append(
            "It estimates whether your head is turned to the camera, and for how long. It does "
            "not see where your eyes look."
        )
    if options.remember:
        points.append(
            "It recognises you by your face if you come back "
            f"within {_spelt_out(options.remember)}; then what it needs for that is deleted. "
            "It is kept in memory only."
        )
    told = options.people or options.events or options.record_on or options.mqtt or options.webhook
    if options.anonymous or (options.report and not told):
        points.append("Only the numbers of groups of five and more people are reported.")
    elif told:
        points.append("Age, gender and time of each visit are kept, without name or picture.")
    if options.output:
        hidden = " with faces hidden" if options.blur else ""
        when = ", but only around what is waited for" if options.record_on else ""
        points.append(f"The video is recorded{hidden}{when}.")
    elif not options.serve:
        points.append("The video is not recorded.")
    if options.serve:
        hidden = " with faces hidden" if options.blur else ""
        points.append(f"Staff can watch the video live{hidden}.")
    return points


def _spelt_out(seconds: float) -> str:
    """A length of time as part of a sentence."""
    return f"{seconds / 60:g} minutes" if seconds >= 120 else f"{seconds:g} seconds"


def _listed(attributes: Sequence[str]) -> str:
    """The attributes as part of a sentence."""
    return " and ".join(filter(None, [", ".join(attributes[:-1]), attributes[-1]]))
