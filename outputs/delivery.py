"""What the sinks of records share: the way of a record, addresses, and the log of trouble."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException, RemoteDisconnected
from urllib.parse import SplitResult, unquote, urlsplit

from errors import SinkError
from people.records import Record, Recorder
from sources.network import escape_user
from structures import FrameResult, Image

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """What an output over the network waits for, in seconds, and how much; tests ask for less.

    Attributes:
        first_wait_s: before the first further try; grows from there.
        gather_s: for records that go along with the first one of a batch.
        answer_s: for an answer.
        close_s: for what is left at the end.
        depth: how many records may wait; beyond that the oldest are dropped.
    """

    first_wait_s: float = 1.0
    gather_s: float = 0.5
    answer_s: float = 10.0
    close_s: float = 5.0
    depth: int = 1000


LIMITS = DeliveryLimits()


class RecordSink(ABC):
    """A sink that hands on the records of each frame, and the last ones when it is closed.

    Attributes:
        takes_frames: whether the frames' own records are handed on, too.

    Args:
        recorder: makes the records.
    """

    wants_picture = False
    takes_frames = False

    def __init__(self, recorder: Recorder) -> None:
        self._recorder, self._closed = recorder, False

    @abstractmethod
    def _take(self, records: Sequence[Record], camera: str | None) -> None:
        """Write or queue records; None = of all cameras, at the end."""

    @abstractmethod
    def _finish(self) -> None:
        """Release everything."""

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Hand on the records of a new frame; no image is used. See `outputs.Sink.write`."""
        if self._closed:
            raise ValueError("write() after close(), got a frame")
        recorder = self._recorder
        records = recorder.all_of(result) if self.takes_frames else recorder.changes(result)
        self._take(records, result.camera)

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Hand on what is new while no frame comes. See `outputs.Sink.refresh`."""
        if not self._closed:
            self._take(self._recorder.changes(result), result.camera)

    def close(self) -> None:
        """Hand on the last records and release everything; may be called again."""
        if self._closed:
            return
        self._closed = True
        try:
            self._take(self._recorder.last_changes(), None)
        finally:
            self._finish()


def split_address(address: str, schemes: tuple[str, ...], what: str, example: str) -> SplitResult:
    """Take an address apart, whose user and password may hold any characters.

    Args:
        address: URL.
        schemes: those allowed.
        what: uses it, for messages; the address is in none, for it may hold secrets anywhere.
        example: of an address.

    Raises:
        SinkError: it has another scheme, no host, or no such host or port can be.
    """
    try:
        address.encode()  # not every argument is text
        parts = urlsplit(escape_user(address.strip()))
        fits = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")  # as for a look-up
    except ValueError:
        fits = False
    if not fits or any(c.isspace() or not c.isprintable() for c in parts.netloc):
        raise SinkError(f"{what} needs an address of the form {example}")
    return parts


def user_and_password(parts: SplitResult) -> tuple[str | None, str | None]:
    """The two of an address as they are typed; None where there is none."""
    user, password = parts.username, parts.password
    return (
        None if user is None else unquote(user),
        None if password is None else unquote(password),
    )


def reason_of(error: Exception) -> str:
    """Why a connection failed, in a few words without the address and what the server sent."""
    if isinstance(error, HTTPException) and not isinstance(error, RemoteDisconnected):
        return "its answer is not HTTP"
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__


class Trouble:
    """Logs when the other side cannot be reached any more, and when it can again.

    Args:
        name: of the other side, without secrets.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._there = False

    def begins(self, what: str) -> None:
        """Log `what`, unless there is trouble already."""
        if not self._there:
            log.warning("%s: %s", self._name, what)
        self._there = True

    def ends(self) -> None:
        """Log that things work again, where they did not."""
        if self._there:
            log.warning("%s: works again", self._name)
        self._there = False
