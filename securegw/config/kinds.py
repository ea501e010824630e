"""Kinds of settings: what a value must look like, and what is made of it.

Not which settings there are, see ``declare``. An endpoint is checked here and opened by who asks for it.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, NoReturn, TypeVar

import attrs

from securegw.config.toml import say

T = TypeVar("T")
S = TypeVar("S", bound=str)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Unfit(Exception):
    """A value is not of its kind; says what is wrong if there is more to say than what is wanted."""


@attrs.frozen
class Kind(Generic[T]):
    """What a value must look like: in words, as an example, and as a function of it and its folder."""

    words: str
    example: object
    read: Callable[[object, Path], T]


def _unfit(problem: str = "") -> NoReturn:
    raise Unfit(problem)


def _string(value: object) -> str:
    if not isinstance(value, str):
        _unfit()
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        _unfit("control characters")
    return value


def _matching(pattern: str) -> Callable[[object], re.Match[str]]:
    compiled = re.compile(pattern)

    def match(value: object) -> re.Match[str]:
        return compiled.fullmatch(_string(value)) or _unfit()

    return match


text: Final = Kind[str]("text", "words", lambda value, folder: _string(value))
boolean: Final = Kind[bool]("true or false", True, lambda value, folder: value if isinstance(value, bool) else _unfit())


def number(low: int, high: int) -> Kind[int]:
    """A whole number within bounds, both included."""

    def read(value: object, folder: Path) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            _unfit()
        return value if low <= value <= high else _unfit("out of range")

    return Kind(f"a whole number from {low} to {high}", low, read)


_BYTES = {"": 1, "b": 1, "kb": 2**10, "kib": 2**10, "mb": 2**20, "mib": 2**20, "gb": 2**30, "gib": 2**30}
_is_size = _matching(r"(\d{1,15}) ?(|[A-Za-z]{1,3})")


def _read_size(value: object, folder: Path) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value >= 0 else _unfit("negative")
    match = _is_size(value)
    unit = _BYTES.get(match[2].lower())
    return int(match[1]) * unit if unit else _unfit()


size: Final = Kind[int]('a size like "50 MB" (KB, MB, GB, each 1024 of the one before)', "50 MB", _read_size)

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_is_duration = _matching(r"\d{1,9} ?(?:ms|min|[smhdw])(?: ?\d{1,9} ?(?:ms|min|[smhdw]))*")
_STEP = re.compile(r"(\d+) ?(ms|min|[smhdw])")


def _read_duration(value: object, folder: Path) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if 0 <= value < 1e12 else _unfit("out of range")
    return sum(int(count) * _SECONDS[unit] for count, unit in _STEP.findall(_is_duration(value)[0]))


duration: Final = Kind[float]('a time like "90s", "1h 30m" or "5d", or a number of seconds', "5d", _read_duration)


def _read_path(value: object, folder: Path) -> Path:
    return folder / _string(value) if value else _unfit("empty")


path: Final = Kind[Path]("a path; relative ones start at the folder of this file", "data", _read_path)

_ENDPOINT_PART = re.compile(r"(?:[^:\\]|\\.)+")
_is_endpoint = _matching(r"[a-z][a-z0-9]*(?::(?:[^:\\]|\\.)+)+")
_PORTS: Final = ("tcp", "tcp6", "ssl", "tls")


def _read_endpoint(value: object, folder: Path) -> str:
    match = _is_endpoint(value)
    name, *options = _ENDPOINT_PART.findall(match[0])
    if name == "haproxy":  # wraps another endpoint
        name, options = options[0], options[1:]
    port = next((option.removeprefix("port=") for option in options if _names_port(option)), "")
    if name in _PORTS and not (port.isascii() and port.isdecimal() and int(port) < 65536):
        _unfit("no port number")
    return match[0]


def _names_port(option: str) -> bool:
    return option.startswith("port=") or "=" not in option


endpoint: Final = Kind[str](
    'an endpoint like "tcp:25" or "tcp:25:interface=127.0.0.1"', "tcp:25:interface=127.0.0.1", _read_endpoint
)


def _read_network(value: object, folder: Path) -> Network:
    try:
        return ipaddress.ip_network(_string(value), strict=True)
    except ValueError as error:
        _unfit(str(error))


network: Final = Kind[Network]('a network like "10.0.0.0/8" or an address', "10.0.0.0/8", _read_network)

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")


def _read_host(value: object, folder: Path) -> str:
    name = _string(value).lower()
    if _HOST.fullmatch(name) and not name.rpartition(".")[2].isdigit():
        return name
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        _unfit()


host: Final = Kind[str]("a host name or an address", "gateway.example.org", _read_host)


def _read_url(value: object, folder: Path) -> str:
    address = _string(value)
    try:
        split = urllib.parse.urlsplit(address)
        split.port  # noqa: B018 - raises where it is no number
    except ValueError as error:
        _unfit(str(error))
    if split.scheme not in ("http", "https") or "@" in split.netloc or split.query or split.fragment:
        _unfit()
    if " " in address or not split.hostname or not address.isascii():
        _unfit()
    return address.rstrip("/")


url: Final = Kind[str](
    'an address like "https://secure.example.org", without query', "https://secure.example.org", _read_url
)


def choice(*allowed: S) -> Kind[S]:
    """One of these words."""

    def read(value: object, folder: Path) -> S:
        return next((word for word in allowed if word == value), None) or _unfit()

    return Kind("one of " + ", ".join(f'"{word}"' for word in allowed), allowed[0], read)


def list_of(kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """Any number of values of one kind; read as a tuple."""

    def read(value: object, folder: Path) -> tuple[T, ...]:
        if not isinstance(value, list):
            _unfit("no list")
        return tuple(_read_one(entry, number, folder) for number, entry in enumerate(value, 1))

    def _read_one(entry: object, number: int, folder: Path) -> T:
        try:
            return kind.read(entry, folder)
        except Unfit as unfit:
            raise Unfit(f"entry {number}: {say(entry)}" + (f" ({unfit})" if str(unfit) else "")) from None

    return Kind(f"a list, each {kind.words}", [kind.example], read)
