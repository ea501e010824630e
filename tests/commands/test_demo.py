"""``securegw demo``: the whole product plays its story to itself, and its exit code says the truth."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path

import attrs
import pytest

from securegw import __version__
from securegw.commands.demo import browser, ground, post, stage
from securegw.commands.demo.browser import Browser, Page, Surprise
from securegw.commands.demo.people import Person, make_papers, make_people
from securegw.commands.demo.post import Inboxes, Post
from securegw.commands.demo.report import Reporter
from securegw.commands.demo.servers import MailSession, Postbox
from securegw.commands.demo.story import Scene, Step, play
from securegw.mail.address import parse_address
from securegw.servers.snmp_ber import octets
from tests.support.snmp_manager import GET, read_v2c, request, with_community
from tests.support.snmp_names import OVERALL

ROOT = Path(__file__).resolve().parents[2]
SECUREGW = (sys.executable, "-c", "import sys; from securegw.commands.main import main; sys.exit(main())")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def start(*words: str, code: str | None = None) -> subprocess.Popen[str]:
    """The command in a session of its own, so that what it leaves behind can be seen."""
    program = SECUREGW if code is None else (sys.executable, "-c", code)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job of a shell, whose children ignore it too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        [*program, *words],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def left_behind(session: int, seconds: float = 5.0) -> list[str]:
    """The processes of a session that are still alive after a moment (Python's resource tracker goes by itself)."""
    end = time.monotonic() + seconds
    while (alive := _alive(session)) and time.monotonic() < end:
        time.sleep(0.05)
    return alive


def _alive(session: int) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


# --- the whole -----------------------------------------------------------------------------------------------


@attrs.frozen
class Played:
    """A started demo and its folder."""

    process: subprocess.Popen[str]
    folder: Path


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Played, Played]]:
    """Two of them side by side: one that checks and ends, one that goes on running."""
    checking, staying = (tmp_path_factory.mktemp("side") / "demo" for _ in range(2))
    pair = (
        Played(start("demo", "--check", "--dir", str(checking)), checking),
        Played(start("demo", "--dir", str(staying)), staying),
    )
    yield pair
    for each in pair:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate(timeout=60)


def test_check_plays_the_story_and_leaves_nothing_running(demos: tuple[Played, Played]) -> None:
    process, folder = demos[0].process, demos[0].folder
    out, _ = process.communicate(timeout=180)

    assert process.returncode == 0, out
    for step in stage.STORY:
        assert f"  ok    {step.sentence}\n" in out
    assert "FAIL" not in out
    assert left_behind(process.pid) == []
    assert not (folder / "demo.json").exists()
    log = (folder / "securegw.log").read_text()
    assert "Traceback" not in log
    assert "marker-" not in log  # no text of any mail of the story
    password = (folder / "people" / "bob.password").read_text()
    assert password not in log


def test_a_step_that_fails_is_told_by_the_exit_code(tmp_path: Path) -> None:
    code = (
        "import sys, txaio; txaio.use_twisted()\n"
        "from pathlib import Path\n"
        "from securegw.commands.demo import stage\n"
        "from securegw.commands.demo.story import Step, check\n"
        "def lost(scene):\n"
        "    check(False, 'the mail was lost')\n"
        "    yield ''\n"
        "stage.STORY = (stage.STORY[0], Step('A mail arrives', lost), stage.STORY[1])\n"
        "sys.exit(stage.perform(Path(sys.argv[1]), check=True))\n"
    )
    process = start(str(tmp_path / "demo"), code=code)
    out, _ = process.communicate(timeout=120)

    assert process.returncode == 1
    assert f"  ok    {stage.STORY[0].sentence}" in out
    assert "  FAIL  A mail arrives\n          the mail was lost" in out
    assert f"  -     {stage.STORY[1].sentence}: not tried" in out
    assert left_behind(process.pid) == []


def test_it_goes_on_running_and_writes_demo_json(demos: tuple[Played, Played]) -> None:
    process, folder = demos[1].process, demos[1].folder
    try:
        record = wait_for_record(process, folder / "demo.json")
        ldap = ("ldap-inside", "ldaps-inside", "ldap-outside", "ldaps-outside")
        for name in ("smtp", "portal", "pop3s", *ldap, "nrpe", "metrics"):
            place = record["listeners"][name]
            socket.create_connection((place["host"], place["port"]), timeout=10).close()
        snmp = record["listeners"]["snmp"]
        with socket.socket(type=socket.SOCK_DGRAM) as asking:
            asking.settimeout(10)
            asking.connect((snmp["host"], snmp["port"]))
            asking.send(with_community(b"demo", request(GET, [(*OVERALL, 1, 0)])))
            assert read_v2c(asking.recv(2000)).bindings == (((*OVERALL, 1, 0), octets(__version__.encode())),)
        people = {person["address"]: person for person in record["people"]}
        assert people["ann@inside.test"]["side"] == "inside"
        assert len(people["bob@outside.test"]["password"]) >= 15
        [archive] = record["mailboxes"]
        assert archive["address"] == "archive@inside.test" and len(archive["password"]) == 35
        assert Path(people["carol@partner.test"]["certificate"]).read_text().startswith("-----BEGIN CERTIFICATE")
        assert Path(record["ca_file"]).exists()
        assert Path(record["config"]).exists()
        assert record["pid"] == process.pid
        assert wait_for_line(process, "Ctrl-C ends the demo.")
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert left_behind(process.pid) == []
    assert not (folder / "demo.json").exists()


def wait_for_record(process: subprocess.Popen[str], file: Path) -> dict:  # type: ignore[type-arg]
    end = time.monotonic() + 60
    while not file.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "there is no demo.json"
        time.sleep(0.05)
    record: dict = json.loads(file.read_text())  # type: ignore[type-arg]
    return record


def wait_for_line(process: subprocess.Popen[str], words: str) -> bool:
    assert process.stdout is not None
    return any(words in line for line in process.stdout)


# --- its parts ------------------------------------------------------------------------------------------------


def scene_of(folder: Path) -> Scene:
    person = Person("ann@inside.test", "Ann", "inside", folder / "ann")
    papers = make_papers(folder)
    return Scene({"ann": person}, papers, Post(1, papers.ca_file, "127.0.0.2"), Browser(papers.ca_file), lambda: None)


def test_after_a_failure_later_steps_are_not_tried(tmp_path: Path) -> None:
    played: list[str] = []

    def good(scene: Scene) -> Iterable[str]:
        played.append("good")
        yield "seen"

    def bad(scene: Scene) -> Iterable[str]:
        raise RuntimeError("broken")

    out = StringIO()
    steps = (Step("one", good), Step("two", bad), Step("three", good))

    assert play(steps, scene_of(tmp_path), Reporter(out)) is False
    assert played == ["good"]
    assert out.getvalue().splitlines() == [
        "  ok    one",
        "          seen",
        "  FAIL  two",
        "          RuntimeError('broken')",
        "  -     three: not tried",
    ]


def test_a_mail_that_never_comes_is_a_surprise(tmp_path: Path) -> None:
    with pytest.raises(Surprise, match="in vain"):
        Inboxes().wait_in(tmp_path / "nobody", "a mail", lambda mail: True, seconds=0.1)


def test_a_secret_is_found_however_it_is_encoded(tmp_path: Path) -> None:
    ann = Person("ann@inside.test", "Ann", "inside", tmp_path)
    message = post.write(ann, "bob@outside.test", "s", "plain marker-1\n", files=[
        browser.File("a.bin", "application/octet-stream", b"\x00marker-2\xff"),
    ])  # fmt: skip
    mail = post.read(message.as_bytes())

    assert b"marker-2" not in mail.raw  # base64
    assert mail.holds("marker-1")
    assert mail.holds("marker-2")
    assert not mail.holds("marker-3")


def test_the_browser_fills_in_what_a_page_has(tmp_path: Path) -> None:
    html = (
        '<form method=post action=/go enctype="multipart/form-data"><textarea name=letter hidden>\nab\ncd\n</textarea>'
        '<input type=checkbox name=terms value=yes required><input name=who value="x&amp;y"><input type=file name=f>'
        "<button name=lang value=en>Go</button><button name=lang value=de>Los</button></form><a href=/a/part/0>Save</a>"
    )
    page = Browser(make_papers(tmp_path).ca_file).open_file(html.encode())

    form = page.form("letter")
    assert form.fields == {"letter": "ab\ncd\n", "who": "x&y"}
    assert form.uploads == ["f"]
    assert form.buttons == [("lang", "en"), ("lang", "de")]
    assert page.link("/part/") == "/a/part/0"
    with pytest.raises(Surprise):
        page.form("password")


def test_the_browser_does_not_follow_to_plain_http(tmp_path: Path) -> None:
    with pytest.raises(Surprise, match="not https"):
        Browser(make_papers(tmp_path).ca_file).get("http://localhost/")


def test_a_page_without_html_is_not_read_as_html() -> None:
    page = browser._read(Page("https://x/", 200, {"content-type": "application/octet-stream"}, b"<form>"))
    assert page.forms == ()


def test_ports_fall_back_when_the_friendly_ones_are_taken() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", ground.FRIENDLY["smtp"]))
        except OSError:
            pass  # somebody else has it, which does as well
        else:
            taken.listen()
        ports = ground.choose_ports()

    assert ports.smtp != ground.FRIENDLY["smtp"]
    assert len(set(attrs.astuple(ports))) == len(ground.FRIENDLY)


def test_people_and_papers_are_made_once(tmp_path: Path) -> None:
    first = make_people(tmp_path, make_papers(tmp_path))
    content = first["carol"].key.read_bytes() if first["carol"].key else b""
    again = make_people(tmp_path, make_papers(tmp_path))

    assert again == first
    assert again["carol"].key is not None
    assert again["carol"].key.read_bytes() == content
    assert (tmp_path / "tls.key").stat().st_mode & 0o077 == 0


# --- the mail servers -----------------------------------------------------------------------------------------


class Wire:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.said = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.said += data

    def loseConnection(self) -> None:
        self.closed = True


def converse(postbox: Postbox, *lines: bytes) -> Wire:
    session = MailSession(postbox, "mx.outside.test", None)
    session.transport = wire = Wire()
    session.connectionMade()
    for line in lines:
        session.dataReceived(line)
    return wire


def envelope(recipient: bytes) -> bytes:
    return b"EHLO x\r\nMAIL FROM:<ann@inside.test>\r\nRCPT TO:<%b@outside.test>\r\n" % recipient


def test_a_mail_lands_byte_for_byte_in_the_maildir(tmp_path: Path) -> None:
    box = Postbox({"bob@outside.test": tmp_path / "bob"})

    wire = converse(box, envelope(b"bob"), b"DATA\r\n", b"Subject: x\r\n\r\n..dot\r\nlast\r\n.\r\n", b"QUIT\r\n")

    [file] = (tmp_path / "bob" / "new").iterdir()
    assert file.read_bytes().endswith(b"\r\nSubject: x\r\n\r\n.dot\r\nlast\r\n")
    assert file.read_bytes().startswith(b"Return-Path: <ann@inside.test>\r\n")
    assert list((tmp_path / "bob" / "tmp").iterdir()) == []
    assert wire.closed


def test_an_unknown_recipient_is_refused(tmp_path: Path) -> None:
    assert b"550 5.1.1" in converse(Postbox({}), envelope(b"nobody")).said


def test_refuse_always_refuses(tmp_path: Path) -> None:
    box = Postbox({"bob@outside.test": tmp_path / "bob"})
    for _ in range(2):
        assert b"550 5.7.1" in converse(box, envelope(b"refuse")).said


def test_delay_says_no_once_and_then_yes(tmp_path: Path) -> None:
    box = Postbox({"bob@outside.test": tmp_path / "bob"})
    sender, delay = parse_address("ann@inside.test"), parse_address("delay@outside.test")

    assert [box.welcome(sender, delay).code for _ in range(4)] == [451, 250, 451, 250]


def test_silent_takes_the_text_and_never_answers(tmp_path: Path) -> None:
    box = Postbox({"bob@outside.test": tmp_path / "bob"})

    wire = converse(box, envelope(b"silent"), b"DATA\r\n", b"Subject: x\r\n\r\ntext\r\n.\r\n", b"NOOP\r\n")

    assert wire.said.rstrip().splitlines()[-1].startswith(b"354")
    assert not (tmp_path / "silent@outside.test").exists()


def test_the_story_has_the_three_parts_of_the_promise() -> None:
    sentences = " ".join(step.sentence for step in stage.STORY)
    for word in ("sealed carrier", "browser", "answer reaches Ann", "S/MIME", "opened, verified and marked"):
        assert word in sentences
