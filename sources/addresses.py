"""Network addresses: user names with awkward characters, and whether a host is known."""

import re
import socket
from urllib.parse import quote

_HOST = r"(?:\[[^\]]*\]|[^@:/?#\[\]]+)(?::\d+)?(?=[/?#]|$)"
_WITH_USER = re.compile(rf"(\w+://)(?!{_HOST})(.*?)@(?={_HOST})(.*)", re.DOTALL)


def escape_user(address: str) -> str:
    """Return `address` with user name and password in the form that URLs demand.

    Passwords are typed as they are, with @, : or / in them, and FFmpeg would take a part
    of them for the host: `rtsp://user:p@ss:w/rd@host/cam`. What is already escaped, and
    an address without a user, stay as they are.
    """
    found = _WITH_USER.fullmatch(address)
    if found is None:
        return address
    user, colon, password = found[2].partition(":")
    return f"{found[1]}{quote(user, safe='%')}{colon}{quote(password, safe='%')}@{found[3]}"


def host_is_known(address: str) -> bool:
    """Whether the host of an address (as `escape_user` returns it) has a number."""
    found = re.match(r"\w+://(?:[^/?#@]*@)?(?:\[([^\]]*)\]|([^:/?#]+))", address)
    if found is None:
        return True
    try:
        socket.getaddrinfo(found[1] or found[2], None)
    except socket.gaierror:
        return False
    return True
