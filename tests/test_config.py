from __future__ import annotations

import tomllib
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

import attrs
import pytest

from securegw import config
from securegw.config import Kind, Mistakes, format_mistake, section, setting
from securegw.config.toml import key_lines


@attrs.frozen
class Door:
    """The door for mail. More words that nobody needs."""

    listen: tuple[str, ...] = setting(config.list_of(config.endpoint), ["tcp:25"], help="Where the door is.")
    certificate: Path | None = setting(config.path, None, help="Certificate with its chain, in PEM.")
    size_limit: int = setting(config.size, "50 MB", help="The largest mail.")
    idle: float = setting(config.duration, "5m", help="How long a peer may be silent.")
    tls: Literal["none", "may", "encrypt"] = setting(config.choice("none", "may", "encrypt"), "may", help="TLS.")
    relay = setting(config.list_of(config.network), [], help="Who may relay.")


@attrs.frozen
class House:
    """The house."""

    host: str = setting(config.host, help="Its name.")
    directory: Path = setting(config.path, "data", help="Where it keeps things.")
    workers: int = setting(config.number(1, 64), 2, help="Hands.")
    loud: bool = setting(config.boolean, False, help="Say more.")


@attrs.frozen
class Extra:
    """What may be left out."""

    url: str = setting(config.url, help="Where it is.")


@attrs.frozen
class Whole:
    house: House = section(House)
    door: Door = section(Door)
    extra: Extra | None = section(Extra, optional=True)


def read(text: str, file: str = "/etc/gw/securegw.toml") -> Whole:
    return config.read(Whole, text, file)


def mistakes(text: str) -> list[str]:
    with pytest.raises(Mistakes) as caught:
        read(text)
    return [format_mistake(mistake) for mistake in caught.value.mistakes]


def test_defaults_and_values() -> None:
    whole = read('[house]\nhost = "GW.test"\n[door]\nsize_limit = "2 GB"\nidle = "1h 30m"\nrelay = ["10.0.0.0/8"]\n')
    assert whole.house == House(host="gw.test", directory=Path("/etc/gw/data"), workers=2, loud=False)
    assert whole.door.listen == ("tcp:25",)
    assert whole.door.certificate is None
    assert whole.door.size_limit == 2 << 30
    assert whole.door.idle == 5400.0
    assert whole.door.relay == (ip_network("10.0.0.0/8"),)
    assert whole.extra is None


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    text = '[house]\nhost = "a.test"\ndirectory = "x/y"\n[door]\ncertificate = "/abs/cert.pem"\n'
    whole = read(text, str(tmp_path / "securegw.toml"))
    assert whole.house.directory == tmp_path / "x" / "y"
    assert whole.door.certificate == Path("/abs/cert.pem")


def test_a_section_made_in_code_has_the_same_defaults() -> None:
    assert Door().size_limit == 50 << 20
    assert Door(tls="none").tls == "none"


def test_ten_mistakes_are_ten_entries_with_their_lines() -> None:
    text = """
[house]
directory = ""
workers = 0
loud = "yes"
hots = "a.test"

[door]
listen = ["tcp:25", "25"]
certificate = 5
size_limit = "50 miles"
idle = '''
5 days of rain'''
tls = "always"
workers = 3

[dor]
x = 1
"""
    found = mistakes(text)
    assert [line.split(": ")[0] for line in found] == [
        f"/etc/gw/securegw.toml:{number}" for number in (2, 3, 4, 5, 6, 9, 10, 11, 12, 14, 15, 17)
    ]
    assert found[0] == "/etc/gw/securegw.toml:2: [house] host: missing; wanted: a host name or an address"
    assert found[2] == (
        "/etc/gw/securegw.toml:4: [house] workers: cannot be 0 (out of range); wanted: a whole number from 1 to 64"
    )
    assert "[house] hots: unknown; perhaps host" in found[4]
    assert 'entry 2: "25"' in found[5]
    assert "[door] workers: unknown; perhaps in [house]" in found[10]
    assert found[11].endswith("[dor]: unknown; perhaps a table named [door]")


def test_not_toml_at_all() -> None:
    [line] = mistakes("[house]\nhost = a.test\n")
    assert line.startswith("/etc/gw/securegw.toml:2: not TOML: ")


def test_missing_and_wrong_tables() -> None:
    assert mistakes("") == ["/etc/gw/securegw.toml: [house] host: missing; wanted: a host name or an address"]
    assert "[house]: not a table" in mistakes("house = 1")[0]
    assert "[extra] url: missing" in mistakes('[house]\nhost = "a.test"\n[extra]\n')[0]


def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/elsewhere")
    monkeypatch.setenv("SECUREGW_HOUSE_WORKERS", "9")
    whole = read('[house]\nhost = "a.test"\ndirectory = "$HOME/~x"\n')
    assert (whole.house.directory, whole.house.workers) == (Path("/etc/gw/$HOME/~x"), 2)


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        (config.size, 1024, 1024),
        (config.size, "1 KB", 1024),
        (config.size, "3MiB", 3 << 20),
        (config.duration, 2.5, 2.5),
        (config.duration, "5d", 432000.0),
        (config.duration, "60 s", 60.0),
        (config.duration, "30 min", 1800.0),
        (config.duration, "250ms", 0.25),
        (config.endpoint, "tcp:port=25:interface=127.0.0.1", "tcp:port=25:interface=127.0.0.1"),
        (config.endpoint, "tcp:0:interface=\\:\\:1", "tcp:0:interface=\\:\\:1"),
        (config.endpoint, "haproxy:tcp:25", "haproxy:tcp:25"),
        (config.endpoint, "unix:/run/gw.sock:mode=660", "unix:/run/gw.sock:mode=660"),
        (config.endpoint, "systemd:domain=INET:index=0", "systemd:domain=INET:index=0"),
        (config.network, "192.0.2.1", ip_network("192.0.2.1/32")),
        (config.network, "2001:db8::/32", ip_network("2001:db8::/32")),
        (config.host, "2001:db8::1", "2001:db8::1"),
        (config.url, "https://gw.test:8443/portal/", "https://gw.test:8443/portal"),
        (config.list_of(config.number(1, 3)), [1, 3], (1, 3)),
        (config.text, "Grüße", "Grüße"),
    ],
)
def test_kinds_read(kind: Kind[object], value: object, result: object) -> None:
    assert kind.read(value, Path("/f")) == result


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (config.text, [1, "a\nb", "a\0"]),
        (config.number(1, 3), [0, 4, "2", 2.0, True]),
        (config.size, ["", "MB", "-1", -1, "1.5 MB", True, "1 TB TB", "9" * 5000]),
        (config.duration, ["", "5", "d", "5 years", -1, True, float("nan"), float("inf"), "5d!"]),
        (config.boolean, [1, "true"]),
        (config.path, ["", 1, "a\0b"]),
        (config.endpoint, ["25", "tcp", "tcp:", "tcp:x", "tcp:65536", "tcp:interface=a", ":25", "tcp:25:", "tcp:25\n"]),
        (config.network, ["10.0.0.1/8", "x", 10, ""]),
        (config.host, ["", "a b", "a_b", "-a", "a..b", "1.2.3", "a.test.", 1, "a" * 254, "ä.test"]),
        (config.url, ["", "gw.test", "ftp://gw.test", "https://", "https://a@b", "https://a?b", "https://a:x"]),
        (config.url, ["https://a b", "https://a/#x", "https://\u00e4.test", 1]),
        (config.choice("a", "b"), ["c", "", 1, ["a"]]),
        (config.list_of(config.text), ["a", [1], [["a"]], {}]),
    ],
)  # fmt: skip
def test_kinds_refuse(kind: Kind[object], values: list[object]) -> None:
    for value in values:
        with pytest.raises(Exception) as caught:
            kind.read(value, Path("/f"))
        assert type(caught.value).__name__ == "Unfit", value


def test_a_wrong_default_is_found_when_it_is_declared() -> None:
    with pytest.raises(Exception, match="out of range"):
        setting(config.number(1, 3), 9, help="x")


def test_the_reference_is_itself_a_file_of_settings() -> None:
    text = config.describe(Whole)
    whole = read(text)
    assert whole.house.host == "gateway.example.org"
    assert whole.door == Door()
    assert set(tomllib.loads(text)["house"]) == {"host"}
    assert "# The door for mail.\n[door]\n" in text
    assert "More words" not in text
    assert '# Where the door is.\n# A list, each an endpoint like "tcp:25"' in text
    assert 'Not set by default.\n# certificate = "data"\n' in text


def test_the_reference_with_every_key_switched_on_can_be_read_too() -> None:
    lines = config.describe(Whole).splitlines()
    keys = "\n".join(line.removeprefix("# ") if " = " in line or line.startswith("# [") else line for line in lines)
    assert read(keys).extra == Extra(url="https://secure.example.org")


def test_lines_of_keys_whatever_stands_between() -> None:
    text = """a = 1 # [x]
"b c".d = [ # ]
  "x]",
  [1, 2],
]
[t] # comment = 1
s = \"\"\"
[not.a.table]
k = 1 \\\"\"\"
\"\"\"
l = '''
x = 2'''
[u.v]
w = { x = 1, y = "}" }
'z' = 1
"""
    assert key_lines(text) == {
        ("a",): 1,
        ("b c",): 2,
        ("b c", "d"): 2,
        ("t",): 6,
        ("t", "s"): 7,
        ("t", "l"): 11,
        ("u",): 13,
        ("u", "v"): 13,
        ("u", "v", "w"): 14,
        ("u", "v", "z"): 15,
    }
