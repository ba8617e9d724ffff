"""Which flags of stream.py need another one, and which exclude each other."""

import argparse

from errors import ConfigError
from program.config import FLAGS

# A flag, those of which it needs one, and what it is about.
NEEDS = (
    ("segment", ("output",), "is about a recording: add --output FILE.mp4"),
    ("preset", ("output",), "is about a recording: add --output FILE.mp4"),
    ("token", ("serve",), "is about the page: add --serve [HOST:]PORT"),
    ("tls", ("serve",), "is about the page: add --serve [HOST:]PORT"),
    ("behind_proxy", ("serve",), "is about the page: add --serve [HOST:]PORT"),
    (
        "keep",
        ("output", "events", "people", "hours"),
        "is about files: add --output, --events, --people or --hours",
    ),
    ("mqtt_qos", ("mqtt",), "is about a broker: add --mqtt mqtt://host/prefix"),
    ("home_assistant", ("mqtt",), "is told by a broker: add --mqtt mqtt://host/prefix"),
    ("webhook_secret", ("webhook",), "signs what is posted: add --webhook URL"),
    ("json", ("doctor",), "is about what is checked here: add --doctor"),
)
# Two flags, and why they exclude each other.
APART = (
    ("people", "anonymous", "--people reports each person, which --anonymous forbids"),
    ("events_full", "anonymous", "--anonymous forbids what --events-full keeps of each face"),
    ("remember", "anonymous", "--remember recognises people, which --anonymous forbids"),
    ("events_full", "replay", "--replay finds nothing new for --events-full"),
    ("remember", "replay", "--remember compares faces by a network, and --replay asks none"),
)
_FILES = ("output", "events", "events_full", "people", "hours", "report", "replay")


def check_together(options: argparse.Namespace) -> None:
    """Refuse flags that contradict each other, or are about what is not asked for.

    Raises:
        ConfigError: there are such.
    """
    for name in _FILES:
        if getattr(options, name) == "":
            raise ConfigError(f"{_flag(name)} is empty; name a file")
    for name, needed, text in NEEDS:
        here = any(_is_given(options, each) and getattr(options, each) != "-" for each in needed)
        if _is_given(options, name) and not here:
            raise ConfigError(f"{_flag(name)} {text}")
    if options.lawful_purpose is not None and not options.lawful_purpose.strip():
        raise ConfigError("--lawful-purpose is empty; say what entitles you")
    for one, other, text in APART:
        if _is_given(options, one) and _is_given(options, other):
            raise ConfigError(f"{text}; leave one out")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _is_given(options: argparse.Namespace, name: str) -> bool:
    value = getattr(options, name)
    return bool(value != (FLAGS[name].default if name in FLAGS else False))
