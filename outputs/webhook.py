"""The sink that sends records to a web server: a webhook."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import logging
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, quote

from outputs.delivery import (
    LIMITS,
    DeliveryLimits,
    RecordSink,
    Trouble,
    reason_of,
    split_address,
    user_and_password,
)
from people.records import SCHEMA, Record, Recorder, to_json
from threads import Outbox, call_with_deadline, waits_s

log = logging.getLogger(__name__)

BATCH = 50  # records in a request
_TRY_AGAIN = frozenset({408, 425, 429})  # and all of 5xx
_MEANT = "!$%&'()*+,/:;=?@[]~"  # what an address has besides letters, digits, - . and _


class _Refused(Exception):
    """The server refuses it for good."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body; it is an error instead."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


class _Cuttable(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens http and https by a connection that another thread can cut."""

    def __init__(self) -> None:
        urllib.request.HTTPHandler.__init__(self)
        self._tls = ssl.create_default_context()
        self._connection: http.client.HTTPConnection | None = None

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """See `urllib.request.HTTPHandler`."""
        return self.do_open(self._plain, req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """See `urllib.request.HTTPSHandler`."""
        return self.do_open(self._secure, req)

    def _plain(self, host: str, **options: Any) -> http.client.HTTPConnection:
        self._connection = http.client.HTTPConnection(host, **options)
        return self._connection

    def _secure(self, host: str, **options: Any) -> http.client.HTTPSConnection:
        self._connection = made = http.client.HTTPSConnection(host, context=self._tls, **options)
        return made

    def cut(self) -> None:
        """Have whoever waits for the other side wait no longer."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)


class Webhook(RecordSink):
    """A sink that POSTs person, source and aggregate records, not one per frame.

    Records go out in batches (docs/events.md), in order, by a thread of its own: the frame
    loop never waits. What cannot be delivered is tried again, later and later, with the same
    `Idempotency-Key`; meanwhile up to 1,000 records wait, and then the oldest are dropped,
    which is counted and logged. A batch that the server refuses (4xx) is given up.

    Args:
        address: http(s) URL; a user and password in it become basic authentication.
        recorder: makes the records.
        secret: key of the signature, HMAC-SHA256 of the body; empty = none.
        limits: how long to wait for what, and how many records may wait.

    Raises:
        SinkError: the address cannot be used.
    """

    def __init__(
        self,
        address: str,
        recorder: Recorder,
        secret: str = "",
        limits: DeliveryLimits = LIMITS,
    ) -> None:
        super().__init__(recorder)
        parts = split_address(address, ("http", "https"), "a webhook", "https://host/path")
        # The path may be as secret as a password, so the host is all that is ever named.
        host = parts.netloc.rpartition("@")[2]
        self.name = f"{parts.scheme}://{host}"
        self._sending = self._lost = 0
        self._trouble = Trouble(self.name)
        user, password = user_and_password(parts)
        self._url = _as_sent(parts)
        self._headers = {"Content-Type": "application/json", "User-Agent": "faces-webhook"}
        if user is not None:
            token = base64.b64encode(f"{user}:{password or ''}".encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"
        self._secret = secret.encode()
        self._limits = limits
        self._connecting = _Cuttable()
        self._opener = urllib.request.build_opener(_NoRedirects, self._connecting)
        self._outbox: Outbox[Record] = Outbox(self._serve, limits.depth, f"webhook {self.name}")

    def _take(self, records: Sequence[Record], camera: str | None) -> None:
        self._outbox.put(records)

    def _finish(self) -> None:
        self._outbox.close(self._limits.close_s)
        if missing := self._outbox.dropped + self._lost + self._sending + len(self._outbox):
            log.warning("%s: %d records were not delivered", self.name, missing)

    def _serve(self, outbox: Outbox[Record]) -> None:
        """Deliver batch after batch; runs in the outbox's thread."""
        number = 0
        while not outbox.closing or len(outbox):
            batch = outbox.take(1, 60.0)
            if not batch:
                continue
            self._sending = 1
            outbox.pause(self._limits.gather_s)
            batch += outbox.take(BATCH - 1, 0.0)
            self._sending, number = len(batch), number + 1
            arrived = self._deliver(outbox, batch, f"{self._recorder.run}-{number}")
            self._lost, self._sending = self._lost + len(batch) * (not arrived), 0
            if outbox.closing and not arrived:
                return

    def _deliver(self, outbox: Outbox[Record], batch: list[Record], key: str) -> bool:
        """Send one batch until it has arrived; False where it was given up."""
        head = {"schema": SCHEMA, "type": "batch", "run": self._recorder.run, "key": key}
        body = to_json(head | {"records": batch}).encode()
        request = urllib.request.Request(self._url, body, self._signed(body, key), method="POST")
        for wait_s in waits_s(self._limits.first_wait_s):
            last = outbox.closing  # one more try, but no more waiting
            try:
                self._post(request)
            except _Refused as error:
                self._trouble.begins(f"{error}; what it refuses is lost")
                return False
            except (OSError, http.client.HTTPException) as error:
                self._trouble.begins(f"{reason_of(error)}; trying again")
                if last:
                    return False
                outbox.pause(wait_s)
            else:
                self._trouble.ends()
                return True
        raise AssertionError("waits have no end")

    def _signed(self, body: bytes, key: str) -> dict[str, str]:
        headers = self._headers | {"Idempotency-Key": key}
        if self._secret:
            digest = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
            headers["X-Signature-256"] = f"sha256={digest}"
        return headers

    def _post(self, request: urllib.request.Request) -> None:
        """Send once; all of it may take no longer than an answer.

        A limit for each read, as sockets have it, would let a server that sends a byte now and
        then, or "100 Continue", hold everything up for ever.

        Raises:
            _Refused: it will never be taken.
            OSError, http.client.HTTPException: it may be taken later.
        """
        try:
            call_with_deadline(
                lambda: self._exchange(request), self._limits.answer_s, lambda _: None
            )
        except TimeoutError:
            self._connecting.cut()
            raise

    def _exchange(self, request: urllib.request.Request) -> None:
        try:
            with self._opener.open(request, timeout=self._limits.answer_s):
                pass
        except urllib.error.HTTPError as error:
            with error:
                if error.code < 500 and error.code not in _TRY_AGAIN:
                    raise _Refused(f"answers {error.code}; check the address") from None
                raise OSError(f"answers {error.code}") from None


def _as_sent(parts: SplitResult) -> str:
    """An address without user and fragment, in the characters that a request may have."""
    host = parts.netloc.rpartition("@")[2]
    if not host.isascii():
        name, colon, port = host.partition(":")
        host = f"{name.encode('idna').decode()}{colon}{port}"
    path, query = (quote(text, _MEANT) for text in (parts.path, parts.query))
    return parts._replace(netloc=host, path=path, query=query, fragment="").geturl()
