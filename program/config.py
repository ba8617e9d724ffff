"""The configuration file of `--config`, in TOML: what the flags hold.

    serve = 8080
    no-window = true

    [cameras.door]
    src = "rtsp://door/stream"
    detect-every = 2

A key is a flag without its dashes; the settings of a camera are in a table of its own. Relative
paths are seen from the file's folder. What stands there is put into the words of a command
line, so that one parser checks both; the flags that were given win.
"""

import argparse
import contextlib
import difflib
import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from errors import ConfigError, redact
from files import is_special
from program.cameras import Camera, SourceOptions, find_cameras, split_name
from program.endpoints import OutputOptions
from program.options import (
    GeneralOptions,
    MemoryOptions,
    ModelOptions,
    OneLineParser,
    PictureOptions,
    TrackingOptions,
    add_flags,
    collect,
    settle_privacy,
)
from program.replay import ReplayOptions
from sources.open import camera_index

KINDS = (
    SourceOptions,
    ReplayOptions,
    ModelOptions,
    TrackingOptions,
    MemoryOptions,
    PictureOptions,
    OutputOptions,
    GeneralOptions,
)
FLAGS: dict[str, Field[Any]] = {
    each.name: each for kind in KINDS for each in fields(kind) if each.metadata
}
_OF_A_CAMERA = {"src", "width", "height", "max_frames", "keep_trying", "line", "zone"} | {
    each.name for each in fields(TrackingOptions)
}
_PATHS = {
    name
    for name, each in FLAGS.items()
    if any(word in str(each.metadata.get("metavar")) for word in ("FILE", "DIR", "CERT"))
}
_SECRETS = ("token", "webhook_secret")
_MOST_BYTES = 2**20

Value = bool | str | list[str]
Given = dict[str, Value]  # flag, called as its field -> what was given for it, in text


@dataclass(frozen=True, slots=True)
class Config:
    """What was asked for, by flags or by a file; the rest is left to the defaults.

    Attributes:
        given: of the whole run.
        cameras: name -> what is given for that camera alone, its `src` too.
    """

    given: Given = field(default_factory=dict)
    cameras: dict[str, Given] = field(default_factory=dict)

    @classmethod
    def of_flags(cls, arguments: Sequence[str] | None) -> "Config":
        """What a command line gives, which must be without mistakes."""
        parser = OneLineParser(add_help=False, argument_default=argparse.SUPPRESS)
        for name, each in FLAGS.items():
            settings = {k: v for k, v in each.metadata.items() if k not in ("type", "choices")}
            parser.add_argument(_flag(name), **settings)
        return cls(vars(parser.parse_known_args(arguments)[0]))

    def under(self, flags: "Config") -> "Config":
        """Return this, a file's, with what the command line gives in place of what it says.

        A `--src` there replaces all cameras.
        """
        own = {} if "src" in flags.given else self.cameras
        cameras = {
            name: {k: v for k, v in given.items() if k == "src" or k not in flags.given}
            for name, given in own.items()
        }
        return Config(self.given | flags.given, cameras)

    def words(self, camera: str | None = None) -> list[str]:
        """Return the command line that gives the same, for the run or one of the cameras."""
        given = self.given
        if camera is not None:
            given = {k: v for k, v in given.items() if k != "src"} | self.cameras[camera]
        return [word for name, value in given.items() for word in _words(name, value)]

    @property
    def holds_secrets(self) -> bool:
        """Whether a password, user or token stands in it."""
        texts = [*_texts(self.given), *(t for each in self.cameras.values() for t in _texts(each))]
        return any(name in self.given for name in _SECRETS) or any(redact(t) != t for t in texts)


def _texts(given: Given) -> Iterator[str]:
    for value in given.values():
        yield from value if isinstance(value, list) else [value] if isinstance(value, str) else []


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _words(name: str, value: Value) -> list[str]:
    """The words of a command line for one flag."""
    if isinstance(value, bool):
        return [_flag(name)] * value
    if isinstance(value, str):
        return [f"{_flag(name)}={value}"]
    if FLAGS[name].metadata.get("action") == "append":
        return [f"{_flag(name)}={each}" for each in value]
    return [_flag(name), *value]


class _Checker(OneLineParser):
    """Raises what is wrong."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(re.sub(r"^argument --", "", message))


def _checker() -> _Checker:
    parser = _Checker(add_help=False)
    for kind in KINDS:
        add_flags(parser, kind)
    return parser


def read_config(path: str | Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, is no TOML, or says what no flag takes.
    """
    path = Path(path).expanduser()
    table = _parsed(path)
    cameras = table.pop("cameras", {})
    if not isinstance(cameras, dict) or not all(isinstance(v, dict) for v in cameras.values()):
        raise ConfigError(f"{path}: cameras: want a table for each, such as [cameras.door]")
    given = _given(table, str(path), path.parent, FLAGS)
    found = {}
    for name, own in cameras.items():
        where = f"{path}: cameras.{name}"
        if not re.fullmatch(r"[\w-]+", name):
            raise ConfigError(f"{where}: a name has letters, digits, - and _")
        found[name] = _given(own, where, path.parent, _OF_A_CAMERA)
        src = found[name].get("src")
        if not isinstance(src, list) or len(src) != 1:
            raise ConfigError(f"{where}: want one src, the address of this camera")
    return Config(given, found)


def cameras_of(
    config: Config, options: argparse.Namespace, parser: argparse.ArgumentParser
) -> list[Camera]:
    """The cameras of a run, the default one where none is asked for.

    Args:
        config: what was asked for.
        options: those of the run, parsed and settled.
        parser: parses what a camera says of its own.

    Raises:
        SourceError: two have the same name, or an environment variable is missing.
    """
    addresses = options.src or ([] if config.cameras else ["0"])
    asked = [(text, options) for text in addresses]
    for name in config.cameras:
        own = parser.parse_args(config.words(name))
        settle_privacy(own)
        asked.append((f"{name}={own.src[0]}", own))
    return find_cameras(
        [(text, collect(SourceOptions, own), collect(TrackingOptions, own)) for text, own in asked]
    )


def options_of(values: Mapping[str, object]) -> argparse.Namespace:
    """Return the options of a run in which these flags, called as their fields, have these values.

    Raises:
        ConfigError: a flag does not take its value.
    """
    words = [w for name, value in values.items() for w in _words(name, _as_text(name, value, name))]
    options = _checker().parse_args(words)
    settle_privacy(options)
    return options


def _parsed(path: Path) -> dict[str, Any]:
    try:
        if is_special(path):
            raise ConfigError(f"{path} is no file; give a file of flags, such as faces.toml")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ConfigError(f"{path} is too large for a file of flags")
        return tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}; check the path, or make one with "
            "--print-config"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = redact(error) if isinstance(error, tomllib.TOMLDecodeError) else "no text"
        raise ConfigError(f"{path} is no TOML: {reason}") from None


def _given(table: Mapping[str, Any], where: str, folder: Path, known: Collection[str]) -> Given:
    """Check a table of the file, and return what it gives."""
    found: Given = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in known:
            raise ConfigError(f"{where}: {_unknown(key, name, known)}")
        if name in found:
            raise ConfigError(f"{where}: {key} stands there twice")
        found[name] = _as_text(name, value, f"{where}: {key}")
        if name in _PATHS | {"src"}:
            found[name] = _seen_from(folder, name, found[name])
    try:
        _checker().parse_args([word for name in found for word in _words(name, found[name])])
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return found


def _unknown(key: str, name: str, known: Collection[str]) -> str:
    if name in FLAGS:
        return f"{key} is for all cameras together: put it above the first [cameras...]"
    near = difflib.get_close_matches(name, known, 1)
    meant = f"did you mean {near[0].replace('_', '-')}?" if near else "--help has all flags"
    return f"unknown key {key}; {meant}"


def _as_text(name: str, value: object, where: str) -> Value:
    """Return a value of the file as the words of a flag."""
    settings = FLAGS[name].metadata
    is_switch = settings.get("action") == "store_true"
    if is_switch or (isinstance(value, bool) and settings.get("nargs") == "?"):
        if not isinstance(value, bool):
            raise ConfigError(f"{where}: want true or false")
        return value
    is_list = settings.get("action") == "append" or settings.get("nargs") == 2
    takes_commas = settings.get("metavar") == "LIST"
    if name == "file_mode" and isinstance(value, int) and 0o600 <= value <= 0o777:
        raise ConfigError(f'{where}: TOML makes {value} of that; want a text, such as "0640"')
    items = value if isinstance(value, list) and (is_list or takes_commas) else [value]
    if not all(
        isinstance(each, str | int | float) and not isinstance(each, bool) for each in items
    ):
        raise ConfigError(f"{where}: want a text or number{' or a list of them' * is_list}")
    texts = [str(each) for each in items]
    return texts if is_list else ",".join(texts)


def _seen_from(folder: Path, name: str, value: Value) -> Value:
    """Return relative paths as seen from `folder`."""
    if isinstance(value, list):
        return [_path_from(folder, name, each) for each in value]
    return _path_from(folder, name, value) if isinstance(value, str) else value


def _path_from(folder: Path, name: str, text: str) -> str:
    if name == "src":
        camera, address = split_name(text)
        if address.startswith("chaos:"):
            address = f"chaos:{_from_folder(folder, address.removeprefix('chaos:'))}"
        elif _is_path(address):
            address = _from_folder(folder, address)
        return f"{camera}={address}" if camera else address
    if text in ("", "-") or (name == "weights" and not (folder / text).is_file()):
        return text
    return _from_folder(folder, text)


def _is_path(address: str) -> bool:
    other = address in ("", "sample") or address.startswith(("test:", "env:"))
    return not (other or "://" in address or camera_index(address) is not None)


def _from_folder(folder: Path, text: str) -> str:
    return text if text.startswith("~") else str(folder / text)


def to_toml(config: Config) -> str:
    """Write a configuration file that gives the same; all other flags as comments.

    Raises:
        ConfigError: a file's name cannot be written in TOML, which is UTF-8.
    """
    lines = ["# For --config. Flags given beside it win. Paths are seen from this file's folder."]
    lines += [f"{_key(name)} = {_toml(value)}" for name, value in config.given.items()]
    lines += [f"# {_key(name)} = {_usual(name)}" for name in FLAGS if name not in config.given]
    for camera, given in config.cameras.items():
        name = camera if camera.isascii() else f'"{camera}"'
        lines += ["", f"[cameras.{name}]"]
        own = given | {"src": next(_texts({"src": given["src"]}))}
        lines += [f"{_key(name)} = {_toml(value)}" for name, value in own.items()]
    text = "\n".join(lines) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError("a name that is no UTF-8 cannot stand in a configuration file") from None
    return text


def _key(name: str) -> str:
    return name.replace("_", "-")


def _usual(name: str) -> str:
    """The default of a flag, or what it takes."""
    default, settings = FLAGS[name].default, FLAGS[name].metadata
    if isinstance(default, bool):
        return _toml(default)
    if isinstance(default, str | int | float) and default and name != "file_mode":
        return _toml(str(default))
    takes = settings.get("metavar") or "|".join(settings["choices"])
    return _toml(list(takes) if isinstance(takes, tuple) else takes)


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            if str(kind(value)) == value:
                return value
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
