"""The commands of an installation: `faces`, `faces-predict`, `faces-batch`.

Each runs its program as `python -m` would, so that it is `__main__` from the first import on.
"""

import runpy


def _run(program: str) -> None:
    top = __name__.removesuffix("program.commands")  # "faces." in an installation
    runpy.run_module(top + program, run_name="__main__", alter_sys=True)


def stream() -> None:
    """Run stream.py."""
    _run("stream")


def predict() -> None:
    """Run predict.py."""
    _run("predict")


def batch() -> None:
    """Run batch.py."""
    _run("batch")
