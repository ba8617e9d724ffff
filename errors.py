"""What can go wrong while the program runs, in one small tree.

    StreamError                 the root: the programs catch this and nothing else
      SourceError               a source that cannot be opened: missing, not a video, no camera
        RefusedError            a server that has nothing at this path
          PasswordError         or does not accept the user name or password
      SourceLostError           a source that was running and disconnected
      WeightsError              weights missing, corrupt or of another architecture
      EngineError               an engine that is not installed, or lacks the device or precision
      SinkError                 an output that cannot be written
      FontError                 a font that is missing or cannot be read
      ConfigError               a configuration file that is missing or not understood
      DatasetError              labelled photographs unknown, missing, damaged or mislabelled

Every message is one line that names the cause and the remedy, without user
names, passwords or tokens. Wrong arguments of functions are `ValueError`s.
"""

import re


class StreamError(Exception):
    """Root of the tree; `str()` of it is what the user reads."""


class SourceError(StreamError):
    """A source cannot be opened or holds no frame that can be decoded."""


class RefusedError(SourceError):
    """A server answers, but has nothing at this path."""


class PasswordError(RefusedError):
    """A server does not accept the user name or password."""


class SourceLostError(StreamError):
    """A source was delivering frames and disconnected before its end."""


class WeightsError(StreamError):
    """Weights are missing, corrupt, or do not fit the architecture."""


class EngineError(StreamError):
    """An engine is not installed, has no device, or refuses a model."""


class SinkError(StreamError):
    """An output cannot be opened or written."""


class FontError(StreamError):
    """A font is missing or cannot be read."""


class ConfigError(StreamError):
    """A configuration file is missing, or holds what no flag takes."""


class DatasetError(StreamError):
    """A set of labelled photographs is unknown, missing, damaged or mislabelled."""


# Greedy up to the last @: passwords may hold @, :, / and blanks. Losing the rest of a
# message does less harm than showing a secret.
_USERINFO = re.compile(r"(\b[A-Za-z][\w+.-]*:/+).*@", re.DOTALL)
_USERINFO_WITHOUT_SCHEME = re.compile(r"[^\s'\"/@]+:(?!/)[^\s'\"]*@")
# Likewise, but what was replaced before is left as it is, with the message behind it.
_QUERY_SECRET = re.compile(
    r"(?i)([\w-]*(?:token|key|secret|signature|sig|pass\w*|pwd|user\w*|usr|auth\w*))="
    r"(?!\*\*\*(?:\W|$))[^&\n]+"
)


def redact(text: object) -> str:
    """Return `str(text)` with user names, passwords and tokens of URLs replaced by ***."""
    shown = _USERINFO.sub(r"\1***@", str(text))
    shown = _USERINFO_WITHOUT_SCHEME.sub("***@", shown)
    return _QUERY_SECRET.sub(r"\1=***", shown)
