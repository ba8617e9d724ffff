"""Hand-offs between threads; the only package that starts any.

    ReadAhead            stored media: every item once and in order, the producer waits
    Newest               live media: the newest item wins, those overwritten are counted
    WriterThread         outputs: items are written in order beside the frame loop
    DetectorPool         frames are searched ahead, by threads with a detector each
    Outbox               outputs that may be offline for long: never waits, drops the oldest
    LoopThread           an asyncio loop beside the frame loop (the web page)
    call_with_deadline   one call that might hang (opening a camera, a name look-up)
    waits_s              waiting times before each further attempt
    blocked_sigint       worker processes leave Ctrl-C to the program
    end_with_parent      a worker process ends with the program that started it

Every queue is bounded, every wait ends when `close()` is called from any thread, and a
worker's error is raised again where its items are taken or submitted. Workers are daemons,
joined by `close()`; one stuck in a system call stops as soon as that returns.
"""

from threads.readers import Newest, ReadAhead
from threads.workers import (
    DetectorPool,
    LoopThread,
    blocked_sigint,
    call_with_deadline,
    end_with_parent,
    waits_s,
)
from threads.writers import Outbox, WriterThread

__all__ = [
    "DetectorPool",
    "LoopThread",
    "Newest",
    "Outbox",
    "ReadAhead",
    "WriterThread",
    "blocked_sigint",
    "call_with_deadline",
    "end_with_parent",
    "waits_s",
]
