"""Where the page is served: `[HOST:]PORT`, bound before anything else is loaded."""

import errno
import ipaddress
import os
import re
import socket

from errors import SinkError

_ADDRESS = re.compile(r"(?:(\[[^\]]+\]|[^:\[\]\s]+):)?(\d{1,5})")
_BACKLOG = 64


def parse_address(text: str) -> tuple[str, int]:
    """Return the host and the port of "8080", "0.0.0.0:8080" or "[::1]:8080".

    The host is 127.0.0.1 where none is given; port 0 is any free one.

    Raises:
        SinkError: it is none of these.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or int(found[2]) > 65535:
        raise SinkError(f"--serve wants [HOST:]PORT with a port up to 65535, got {text!r}")
    return (found[1] or "127.0.0.1").strip("[]"), int(found[2])


def look_up(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Return the family and the numeric address to bind for `host`, IPv4 first.

    Raises:
        SinkError: no such host.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise SinkError(
            f"--serve {host}:{port}: the host is not known; use 127.0.0.1 or 0.0.0.0"
        ) from error
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    family, _, _, _, address = found[0]
    return family, (str(address[0]), int(address[1]))


def is_loopback(number: str) -> bool:
    """Whether a numeric address is reached from this machine only."""
    return ipaddress.ip_address(number.partition("%")[0]).is_loopback


def listen(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    """Return a socket that listens at `address`.

    Raises:
        SinkError: the port is in use or not allowed, or the address not this machine's.
    """
    server = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let two programs share a port
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen(_BACKLOG)
    except OSError as error:
        server.close()
        raise SinkError(f"--serve {address[0]}:{address[1]}: {_cause(error)}") from error
    return server


def _cause(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; choose another, or 0 for any that is free"
    if error.errno == errno.EACCES:
        return "not allowed; choose a port above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return "not an address of this machine; use 127.0.0.1 or 0.0.0.0"
    return f"cannot listen there: {os.strerror(error.errno or 0)}"


def page_address(host: str, server: socket.socket) -> str:
    """Return the page's address as it can be opened, such as "http://127.0.0.1:8080/"."""
    number, port = server.getsockname()[:2]
    if ipaddress.ip_address(number.partition("%")[0]).is_unspecified:
        host = _own_address(server.family)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _own_address(family: int) -> str:
    """Return the address under which other machines most likely reach this one."""
    anywhere = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"  # for documentation
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((anywhere, 9))  # chooses a route, sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
