"""Hand-offs between threads; the only package that starts any.

    ReadAhead      stored media: every item once and in order, the producer waits
    Newest         live media: the newest item wins, those overwritten are counted
    WriterThread   outputs: items are written in order beside the frame loop
    Crew         work that may be done ahead, in threads with a tool each
    Outbox         outputs that may be gone for long: never waits, the oldest items are dropped
    call_with_deadline   one call that might hang (opening a camera, a name look-up)
    deaf_to_ctrl_c       worker processes leave Ctrl-C to the program
    end_with_parent      a worker process does not outlive the program that started it
    LoopThread     an asyncio loop beside the frame loop (the web page)

Every queue is bounded, every wait ends when `close()` is called from any thread, and
what a worker raises is raised again where its items are taken or submitted. Workers are
daemons, joined by `close()`; one stuck in a system call stops as soon as that returns.
"""

from threads.readers import Newest, ReadAhead
from threads.workers import Crew, LoopThread, call_with_deadline, deaf_to_ctrl_c, end_with_parent
from threads.writers import Outbox, WriterThread

__all__ = [
    "Crew",
    "LoopThread",
    "Newest",
    "Outbox",
    "ReadAhead",
    "WriterThread",
    "call_with_deadline",
    "deaf_to_ctrl_c",
    "end_with_parent",
]
