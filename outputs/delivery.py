"""What outputs over the network share: addresses without secrets, and what is logged."""

import logging
from urllib.parse import SplitResult, unquote, urlsplit

from errors import SinkError
from sources.network import escape_user

log = logging.getLogger(__name__)


def split_address(address: str, schemes: tuple[str, ...], what: str, example: str) -> SplitResult:
    """Take an address apart, whose user and password may hold any characters.

    Args:
        address: URL.
        schemes: those allowed.
        what: uses it, for messages; the address is in none, for it may hold secrets anywhere.
        example: of an address.

    Raises:
        SinkError: it has another scheme, no host, or no such port can be.
    """
    try:
        parts = urlsplit(escape_user(address.strip()))
        fits = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
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
    """Why a connection failed, in a few words without the address."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__


class Trouble:
    """Logs that the other side cannot be reached when that begins, and when it ends.

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
        """Log that things are well again, where they were not."""
        if self._there:
            log.warning("%s: works again", self._name)
        self._there = False
