"""What damaged films must not do; benchmarks/hardening.py tries a thousand of them."""

import random
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

from av.container import InputContainer

from benchmarks.hardening import mutated
from program.ending import Ending
from sources.decoding import packets_of


def test_a_stream_that_shows_up_later_is_skipped() -> None:
    packets = iter([1, 2, IndexError(), 3, IndexError(), 4])

    class Container:
        def demux(self, stream: object) -> Iterator[object]:
            for packet in packets:
                if isinstance(packet, IndexError):
                    raise packet
                yield packet

    found = packets_of(cast("InputContainer", Container()), cast("Any", None))
    assert list[object](found) == [1, 2, 3, 4]


def test_a_signal_while_a_thread_is_started_is_heard() -> None:
    ending, ended = Ending(give_up=lambda: ended.append(True), closing_s=0.01), list[bool]()
    with ending.running():
        pass
    with threading._active_limbo_lock:  # type: ignore[attr-defined]
        ending.on_signal(signal.SIGTERM, None)
        for _ in range(500):
            if ended:
                break
            time.sleep(0.01)
    assert ended == [True]


def test_mutations_are_the_same_for_the_same_seed() -> None:
    data = bytes(range(256)) * 8
    assert mutated(data, random.Random(3)) == mutated(data, random.Random(3)) != data
    assert all(len(mutated(b"x", random.Random(i))) <= 1 for i in range(50))
