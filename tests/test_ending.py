"""Signals end a run in good order, wherever they arrive."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from errors import SourceError
from outputs.recording.sink import Recording
from program.ending import Ending
from program.options import signals_handled
from structures import Frame
from tests.fakes import ListSource, film
from tests.recordings import ROOT, read, run_child
from tests.test_stream import reading, run_main

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")


class Interrupted(ListSource):
    """Does something when it is asked for the tenth frame."""

    def __init__(self, action: Callable[[], object], count: int = 500) -> None:
        super().__init__(film(count))
        self._action, self._count = action, 0

    def __next__(self) -> Frame:
        self._count += 1
        if self._count == 10:
            self._action()
        return super().__next__()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_a_lock_is_noticed_after_it(
    number: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = []

    def act() -> None:
        condition = threading.Condition()
        with condition:
            condition.release()
            signal.raise_signal(number)  # as inside Condition.wait
            condition.acquire()
        left.append(True)

    video = tmp_path / "o.mp4"
    arguments = ("--no-window", "--output", str(video))
    assert run_main(*arguments, factories=reading(Interrupted(act))) == 0
    assert left and re.search(r" in \d+ s", capsys.readouterr().err)
    assert 5 <= len(read(video)) < 500


def test_what_does_not_come_to_its_end_is_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    def act() -> None:
        signal.raise_signal(signal.SIGTERM)
        time.sleep(30)

    began_s = time.monotonic()
    arguments = ("--no-window", "--events", os.devnull)
    assert run_main(*arguments, factories=reading(Interrupted(act))) == 0
    assert time.monotonic() - began_s < 10
    assert re.search(r" in \d+ s", capsys.readouterr().err)


def test_an_error_that_comes_of_an_interrupted_lock_ends_the_run_as_the_signal_does() -> None:
    ending = Ending()
    with pytest.raises(RuntimeError, match="a fault"), ending.running():
        raise RuntimeError("a fault")
    ending = Ending(give_up=lambda: None)
    with ending.running():
        ending.on_signal(signal.SIGTERM, None)
        raise RuntimeError("cannot release un-acquired lock")
    ending.close()
    assert ending.closed


def test_a_second_signal_does_not_interrupt_the_closing_of_what_was_opened() -> None:
    closed, ending = threading.Event(), Ending(give_up=lambda: None)

    def close() -> None:
        ending.on_signal(signal.SIGINT, None)
        closed.set()

    with (
        pytest.raises(KeyboardInterrupt),
        contextlib.closing(ending),
        contextlib.ExitStack() as stack,
    ):
        stack.callback(close)
        with ending.opening():
            ending.on_signal(signal.SIGINT, None)
    assert closed.is_set()


def test_a_signal_does_not_interrupt_what_follows_an_error_while_opening() -> None:
    given_up = threading.Event()
    ending = Ending(given_up.set, closing_s=0.05)
    with pytest.raises(SourceError), ending.opening():
        raise SourceError("no such file")
    ending.on_signal(signal.SIGTERM, None)
    assert given_up.wait(5)


def test_closing_is_limited_after_a_signal_only() -> None:
    given_up = threading.Event()
    ending = Ending(given_up.set, closing_s=0.05)
    with ending.running():
        pass
    assert not given_up.wait(0.2)
    ending.on_signal(signal.SIGTERM, None)
    assert given_up.wait(5)
    given_up.clear()
    ending = Ending(given_up.set, closing_s=0.2)
    with ending.running():
        ending.on_signal(signal.SIGTERM, None)
    ending.close()
    assert not given_up.wait(0.5)


def test_what_nohup_has_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_handled(lambda *_: None):
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_recording_that_hangs_when_it_is_closed_does_not_outlive_the_signals(
    tmp_path: Path,
) -> None:
    done = run_child(HANGS, tmp_path / "o.mp4")
    assert done.returncode == 2
    assert "an output cannot be finished; ended without it" in done.stderr


class Hanging(Recording):
    """Never comes to its end."""

    def close(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            time.sleep(1)


HANGS = """
import sys
from dataclasses import replace
from tests.test_ending import Ending, Hanging, ListSource, film, reading, run_main
factories = replace(
    reading(ListSource(film(5))), recording=Hanging, ending=lambda: Ending(closing_s=0.5)
)
sys.exit(run_main("--no-window", "--output", sys.argv[1], factories=factories))
"""

IN_A_TERMINAL = """
import os, pty, signal, sys, time
child, terminal = pty.fork()
if not child:
    command = [sys.executable, "stream.py", "--src", "test:", "--no-window", *sys.argv[1:]]
    os.execv(sys.executable, command)
while not os.path.exists(sys.argv[-1]):
    os.read(terminal, 100)
os.close(terminal)  # the window is closed
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
def test_a_terminal_that_is_closed_ends_the_run_in_good_order(tmp_path: Path) -> None:
    video = tmp_path / "o.mp4"
    done = subprocess.run(
        [sys.executable, "-c", IN_A_TERMINAL, "--output", str(video)],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "0", done.stderr
    assert len(read(video)) > 0
