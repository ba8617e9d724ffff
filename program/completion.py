"""Completion of flags and files in the shell, by `--print-completion`."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")


def add_completion(parser: argparse.ArgumentParser) -> None:
    """Add `--print-completion`."""
    parser.add_argument(
        "--print-completion",
        choices=SHELLS,
        action=_PrintCompletion,
        help="print what lets that shell complete these flags, and exit",
    )


class _PrintCompletion(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        _options: argparse.Namespace,
        shell: str | Sequence[Any] | None,
        _flag: str | None = None,
    ) -> NoReturn:
        try:
            import shtab
        except ModuleNotFoundError:
            parser.error("--print-completion needs a package: pip install shtab")
        for action in parser._actions:
            takes = str(action.metavar)
            if "DIR" in takes:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif any(word in takes for word in ("FILE", "CERT", "PATH", "FILM", "SOURCE")):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        print(shtab.complete(parser, str(shell)))
        parser.exit()
