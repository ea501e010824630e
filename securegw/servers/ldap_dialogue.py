"""The LDAP dialogue of one connection, without I/O: bytes in, events out.

Not who may ask what of whom (ldap_directory). RFC 4511 4 and 5.3 (order, notice of disconnection), RFC 4513 3 and 5.1
(StartTLS, simple bind), RFC 2696 (pages). Anonymous, read only; a password is heard under TLS alone.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from securegw.servers import ldap_replies as replies
from securegw.servers.ldap_ber import Broken, Frames
from securegw.servers.ldap_directory import Outcome
from securegw.servers.ldap_entries import envelope
from securegw.servers.ldap_events import Ask, Close, Event, Send, StartTLS
from securegw.servers.ldap_pages import Pages
from securegw.servers.ldap_quick import Quick
from securegw.servers.ldap_requests import (
    ANSWERS,
    Abandon,
    Bind,
    Compare,
    Extended,
    Message,
    Search,
    Unanswerable,
    Unbind,
    Write,
    read_message,
)

MOST_OUTSTANDING = 100


@attrs.frozen
class Bounds:
    """What is so for a whole listener."""

    start_tls: bool = False
    tls_only: bool = False
    sign_in: bool = True


class LdapDialogue:
    """One client. ``known`` is who comes from a named network; ``allows`` counts a stranger's searches."""

    def __init__(
        self, bounds: Bounds, quick: Quick, now: Callable[[], float], allows: Callable[[], bool], *, known: bool
    ) -> None:
        self.secure = False
        self.signed_in = ""
        self.quick_answers = 0
        self._bounds = bounds
        self._quick = quick
        self._now = now
        self._allows = allows
        self._of_network = known
        self._frames = Frames()
        self._asked: dict[int, Message] = {}
        self._binding = False
        self._ended = False
        self._pages = Pages()

    @property
    def known(self) -> bool:
        return self._of_network or bool(self.signed_in)

    @property
    def waiting(self) -> bool:
        """Whether a request has begun to arrive."""
        return self._frames.waiting

    @property
    def outstanding(self) -> int:
        return len(self._asked)

    def at_once(self, data: bytes) -> bytes | None:
        """The answer, if these bytes are one short search and nothing else, and it can be answered now.

        Nearly all there is, and so without the way through ``receive``. If None, nothing has happened yet.
        """
        if self._ended or self._frames.waiting or len(data) < 2 or data[0] != 0x30 or data[1] != len(data) - 2:
            return None
        return self._at_once(data)

    def receive(self, data: bytes) -> list[Event]:
        """Everything that these bytes bring about; all that can be said at once is one Send."""
        if self._ended:
            return []
        said: list[bytes] = []
        events: list[Event] = []
        try:
            messages = self._frames.feed(data)
            last = len(messages) - 1
            for at, message in enumerate(messages):
                if (answer := self._at_once(message)) is not None:
                    said.append(answer)
                    continue
                events += self._treat(message, more=at < last or self._frames.waiting)
                if self._ended:
                    break
        except Broken as broken:
            events += self._hang_up(replies.PROTOCOL_ERROR, str(broken))
        return _in_one(said, events)

    def secured(self) -> None:
        """TLS has begun: whoever it was before is a stranger again (RFC 4513 3.1.4)."""
        self.secure = True
        self.signed_in = ""

    def dismiss(self, code: int, reason: str) -> list[Event]:
        """Say that we hang up, and why."""
        return [] if self._ended else self._hang_up(code, reason)

    def answer(self, asked: Ask, outcome: Outcome, name: str = "") -> list[Event]:
        """The outcome of a question; ``name`` is who has signed in.

        What was abandoned is answered with nothing, also if its number stands for another question by now.
        """
        message = self._asked.get(asked.number)
        if message is None or message.request is not asked.request or self._ended:
            return []
        del self._asked[asked.number]
        if isinstance(message.request, Bind):
            self._binding = False
            self.signed_in = name
        if isinstance(message.request, Search):
            return [Send(self._found(message, message.request, outcome))]
        return [Send(replies.result(message.raw, ANSWERS[message.tag], outcome.code, outcome.text))]

    # --- one request ----------------------------------------------------------------------------------------------

    def _at_once(self, message: bytes) -> bytes | None:
        if self._binding or (self._bounds.tls_only and not self.secure):
            return None
        answer = self._quick.answer(message, self._now())
        if answer is None or not (self._of_network or self.signed_in or self._allows()):
            return None
        self.quick_answers += 1
        return answer

    def _treat(self, raw: bytes, *, more: bool) -> list[Event]:
        message = read_message(raw)
        request = message.request
        match request:
            case Unbind():
                self._ended = True
                return [Close("unbind")]
            case Abandon(number):
                self._abandon(number)
                return []
            case Extended(replies.START_TLS):
                return self._start_tls(message, more)
            case Bind():
                return self._bind(message, request)
            case Search():
                self._quick.learn(raw, request)
        return self._question(message)

    def _question(self, message: Message) -> list[Event]:
        """Whatever is left: what may be asked is asked."""
        request = message.request
        code, text = _never(request)
        if not code:
            code, text = self._objection(message)
        if code or isinstance(request, Extended | Write | Unanswerable):
            return [Send(self._refusal(message, code, text))]
        assert isinstance(request, Search | Compare)
        if isinstance(request, Search) and request.page and request.page.cookie:
            return [Send(self._next_page(message, request))]
        return self._ask(message, request)

    def _ask(self, message: Message, request: Search | Bind | Compare) -> list[Event]:
        self._asked[message.number] = message
        return [Ask(message.number, request)]

    def _objection(self, message: Message) -> tuple[int, str]:
        """Why a question is not even looked at; 0 if it is."""
        if self._binding:
            return replies.OPERATIONS_ERROR, "A bind is under way"
        if message.number in self._asked:
            raise Broken("a message number that is in use")
        if len(self._asked) >= MOST_OUTSTANDING:
            return replies.BUSY, "Too many questions at once"
        if _about_root(message.request):
            return 0, ""
        if self._bounds.tls_only and not self.secure:
            return replies.CONFIDENTIALITY_REQUIRED, "Please use TLS"
        if not self.known and not self._allows():
            return replies.BUSY, "Too many searches within a minute"
        return 0, ""

    def _refusal(self, message: Message, code: int, text: str) -> bytes:
        if isinstance(message.request, Extended):
            return replies.extended(message.raw, "", code, text)
        return replies.result(message.raw, ANSWERS[message.tag], code, text)

    def _abandon(self, number: int) -> None:
        """RFC 4511 4.11: never answered; a bind cannot be abandoned."""
        if number in self._asked and not isinstance(self._asked[number].request, Bind):
            del self._asked[number]

    def _start_tls(self, message: Message, more: bool) -> list[Event]:
        def say(code: int, text: str = "") -> list[Event]:
            return [Send(replies.extended(message.raw, replies.START_TLS, code, text))]

        if self.secure or self._asked:
            return say(replies.OPERATIONS_ERROR, "TLS cannot begin now")
        if not self._bounds.start_tls:
            return say(replies.PROTOCOL_ERROR, "There is no TLS here")
        if more:  # what is sent in clear must never be taken for something said under TLS (threat T1)
            return self._hang_up(replies.PROTOCOL_ERROR, "something came behind StartTLS")
        return [*say(replies.SUCCESS), StartTLS()]

    # --- who it is ------------------------------------------------------------------------------------------------

    def _bind(self, message: Message, asked: Bind) -> list[Event]:
        """RFC 4511 4.2.1: whatever is under way is given up, and until this is answered it is nobody."""
        if self._binding:
            return self._hang_up(replies.PROTOCOL_ERROR, "a bind while another one is under way")
        self._asked.clear()
        self._pages = Pages()  # what was found for somebody else is not told to who this is now
        self.signed_in = ""
        code, text = self._bind_objection(asked)
        if code or not asked.name:
            return [Send(replies.result(message.raw, ANSWERS[message.tag], code, text))]
        self._binding = True
        return self._ask(message, asked)

    def _bind_objection(self, asked: Bind) -> tuple[int, str]:
        if asked.version != 3:
            return replies.PROTOCOL_ERROR, "Version 3 is spoken here"
        if asked.password is None:
            return replies.AUTH_METHOD_NOT_SUPPORTED, "There is no SASL here"
        if asked.name and not asked.password:
            return replies.UNWILLING_TO_PERFORM, "A name needs a password"  # RFC 4513 5.1.2
        if not asked.name:
            return (replies.INVALID_CREDENTIALS, "") if asked.password else (0, "")
        if not self.secure:
            return replies.CONFIDENTIALITY_REQUIRED, "A password is heard under TLS only"
        return (0, "") if self._bounds.sign_in else (replies.UNWILLING_TO_PERFORM, "Nobody can sign in here")

    # --- what was found -------------------------------------------------------------------------------------------

    def _found(self, message: Message, search: Search, outcome: Outcome) -> bytes:
        if search.page is None:
            return _entries(message, outcome) + replies.result(message.raw, 0x65, outcome.code, outcome.text)
        return self._page(message, outcome, search.page.size)

    def _next_page(self, message: Message, search: Search) -> bytes:
        assert search.page is not None
        outcome = self._pages.take(search.page.cookie)
        if outcome is None:
            return replies.result(message.raw, 0x65, replies.UNWILLING_TO_PERFORM, "That result is gone")
        return self._page(message, outcome, search.page.size)

    def _page(self, message: Message, outcome: Outcome, size: int) -> bytes:
        """One page; a size of 0 gives up the rest (RFC 2696 3)."""
        now, cookie = self._pages.split(outcome, size)
        end = replies.result(message.raw, 0x65, now.code, now.text, replies.page_control(cookie))
        return _entries(message, now) + end

    def _hang_up(self, code: int, reason: str) -> list[Event]:
        self._ended = True
        return [Send(replies.notice(code, reason[:1].upper() + reason[1:])), Close(reason)]


def _entries(message: Message, outcome: Outcome) -> bytes:
    return b"".join(envelope(message.raw, entry) for entry in outcome.entries)


def _never(request: object) -> tuple[int, str]:
    """What nobody may do here, whoever it is."""
    match request:
        case Unanswerable(code, text):
            return code, text
        case Write():
            return replies.UNWILLING_TO_PERFORM, "This directory is read only"
        case Extended():
            return replies.PROTOCOL_ERROR, "This operation is not known here"
    return 0, ""


def _about_root(request: object) -> bool:
    """Everybody may read the root, always: it says how to go on."""
    return isinstance(request, Search) and request.scope == 0 and not request.base


def _in_one(said: list[bytes], events: list[Event]) -> list[Event]:
    """All that is sent as the first event."""
    if not events:
        return [Send(b"".join(said))] if said else []
    said += [event.data for event in events if isinstance(event, Send)]
    others: list[Event] = [event for event in events if not isinstance(event, Send)]
    return [Send(b"".join(said)), *others] if said else others
