"""The command line of every program: one line on what is wrong."""

import argparse
from typing import Any, NoReturn

from errors import redact
from version import VERSION


class OneLineParser(argparse.ArgumentParser):
    """Refuses bad arguments with one line on stderr and exit code 2, without the usage.

    Every program has `--version`. The arguments are those of `argparse.ArgumentParser`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser.error`."""
        self.exit(2, f"{self.prog}: {redact(message)} (try --help)\n")
