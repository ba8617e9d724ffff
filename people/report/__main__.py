"""Make the audience report of files that --events wrote, of many days and cameras.

    python -m people.report events.jsonl --output report.html
    python -m people.report archive/ 'other/*.jsonl' --output report.html

Files may be of several runs, cut off, or given twice. docs/report.md says what the page tells.
"""

import sys
from collections.abc import Sequence

from errors import StreamError
from files import check_apart, check_ours, check_writable, created_with, sink_error, write_whole
from parsing import OneLineParser
from people.report.page import is_report, page_of
from people.report.presence import presence_of
from people.report.reading import find_files, read_events
from people.report.tally import Tally

_PROGRAM = "python -m people.report"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns:
        The exit code: 0, or 2 where a file is no use, also if the others were reported.
    """
    parser = OneLineParser(
        prog=_PROGRAM,
        description=__doc__.partition("\n")[0],
        epilog="docs/report.md says what the page tells",
    )
    parser.add_argument(
        "events",
        nargs="+",
        metavar="EVENTS",
        help="files that --events wrote, folders of them (*.jsonl), or patterns in quotes",
    )
    parser.add_argument("--output", required=True, metavar="FILE.html", help="the page")
    options = parser.parse_args(arguments)
    try:
        return _report(options.events, options.output)
    except StreamError as error:
        _say(str(error))
        return 2


def _report(names: Sequence[str], output: str) -> int:
    target = check_writable(output, (".html",), whole=True)
    check_ours(target, is_report)
    paths, useless = find_files(names, _say)
    check_apart([target], paths)
    if not paths:
        _say("there is nothing to report; no page was made")
        return 2
    tally = Tally()
    useless += sum(not read_events(path, tally, _say) for path in paths)
    page = page_of(presence_of(tally))
    try:
        with created_with(0o600):
            write_whole(target, page.encode())
    except OSError as error:
        raise sink_error(target, error) from error
    return 2 if useless else 0


def _say(text: str) -> None:
    print(f"{_PROGRAM}: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
