"""Reading tables of text row by row, with every fault named by its line."""

import csv
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import IO, TypeVar

from errors import DatasetError

DELIMITERS = ",;\t"  # that spreadsheets write

_T = TypeVar("_T")
Row = dict[str, str | None]


def read_rows(
    path: Path,
    columns: Iterable[str],
    parse_row: Callable[[Row], _T],
    remedy: str,
    delimiter: str | None = ",",
    rename: Callable[[list[str]], list[str]] | None = None,
) -> Iterator[_T]:
    """Yield what `parse_row` returns for each row of a table; its first line names the columns.

    The text is UTF-8, or UTF-16 with its mark. No row goes over several lines: where one
    does, a quote is not closed.

    Args:
        path: of the table.
        columns: the required ones; there may be others.
        parse_row: gets a row, None in columns that it lacks; raises ValueError if it is wrong.
        remedy: what to do about a bad table, for messages.
        delimiter: between columns; None = whichever of `DELIMITERS` the first line has most.
        rename: takes the names in the first line and returns those to use; raises ValueError
            if they are wrong.

    Raises:
        DatasetError: missing, unreadable, or with a wrong row, whose line is named.
    """
    try:
        with path.open(newline="", encoding=_encoding(path)) as lines:
            between = delimiter or _guess_delimiter(lines)
            rows = _numbered(lines, between, path, remedy)
            line, header = next(rows, (1, []))
            try:
                header = rename(header) if rename else header
            except ValueError as error:
                raise DatasetError(f"{path}, line {line}: {error}; {remedy}") from error
            if missing := [name for name in columns if name not in header]:
                raise DatasetError(f"{path} has no column {missing[0]}; {remedy}")
            for line, texts in rows:
                try:
                    yield parse_row(_named(header, texts, between))
                except ValueError as error:
                    raise DatasetError(
                        f"{path}, line {line}: {error}; correct it, or {remedy}"
                    ) from error
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DatasetError(f"cannot read the table {path}: {reason}; {remedy}") from error


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        mark = file.read(2)
    return "utf-16" if mark in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _guess_delimiter(lines: IO[str]) -> str:
    first = lines.readline()
    lines.seek(0)
    return max(DELIMITERS, key=first.count)  # the first of equals: a comma


def _numbered(
    lines: IO[str], delimiter: str, path: Path, remedy: str
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the texts of each row that is not empty."""
    rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    while True:
        line = rows.line_num + 1
        try:
            texts = next(rows, None)
        except csv.Error as error:
            raise DatasetError(f"{path}, line {line}: {error}; correct it, or {remedy}") from error
        if texts is None:
            return
        if rows.line_num > line:
            raise DatasetError(
                f"{path}, line {line}: a quote is not closed on this line; correct it, or {remedy}"
            )
        if any("\0" in text for text in texts):
            raise DatasetError(f"{path}, line {line} holds zero bytes; save it as UTF-8")
        if any(text.strip() for text in texts):
            yield line, texts


def _named(header: list[str], texts: list[str], delimiter: str) -> Row:
    """Return a row by column; ValueError if it cannot belong to this header."""
    if any(text.strip() for text in texts[len(header) :]):
        raise ValueError(f"want {len(header)} columns, got {len(texts)}")
    if len(texts) < len(header) and delimiter in texts[0]:
        raise ValueError(f"want {len(header)} columns, got {len(texts)}: a quote is misplaced")
    return dict(zip_longest(header, texts[: len(header)]))
