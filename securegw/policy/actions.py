"""Actions: the aspects that a rule may speak of, one row each.

Not their execution, that is the work of ``flow``. A new action is one row here and one place that obeys it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import attrs

from securegw.mail.address import parse_address
from securegw.mail.errors import BadAddress
from securegw.policy.decision import Value
from securegw.policy.vocabulary import Vocabulary

# The methods that rules may name, in the order in which they are tried unless a rule says otherwise. The work is
# that of the table crypto/methods.py; the two cannot know each other.
METHODS: tuple[str, ...] = ("smime", "carrier", "zip")

TEXT_LIMIT = 400

# Fields without which a mail is none, or its way is lost.
NEEDED = frozenset({"from", "to", "cc", "date", "subject", "message-id", "mime-version", "received", "return-path"})
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")

Reader = Callable[[object, Vocabulary], Value]


@attrs.frozen
class Action:
    """One aspect. ``read`` turns what the document says into a value, or raises ValueError with the problem.

    ``opposites`` are two values that no sender can want at once. ``fallback`` holds in a direction in which no
    rule speaks; where it is silent too, the mail waits for an administrator.
    """

    name: str
    wanted: str
    sentence: str
    read: Reader
    opposites: frozenset[Value] = frozenset()
    fallback: Mapping[str, Value] = attrs.field(factory=dict, hash=False)


def _one_of(*allowed: str) -> Reader:
    def read(value: object, vocabulary: Vocabulary) -> Value:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{value!r} is not one of them")
        return value

    return read


def _switch(value: object, vocabulary: Vocabulary) -> Value:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _order(value: object, vocabulary: Vocabulary) -> Value:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise ValueError(f"{value!r} is not a list of methods")
    for name in names:
        if name not in vocabulary.methods:
            raise ValueError(f"there is no method {name!r}")
    if len(set(names)) < len(names):
        raise ValueError("a method is named twice")
    return tuple(names)


def _banner(value: object, vocabulary: Vocabulary) -> Value:
    if value is False:
        return False
    if not isinstance(value, str) or value not in vocabulary.banners:
        raise ValueError(f"there is no banner {value!r}")
    return value


def _fields(value: object, vocabulary: Vocabulary) -> Value:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list):
        raise ValueError(f"{value!r} is not a list of field names")
    for name in names:
        if not isinstance(name, str) or not _FIELD_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header field")
        if name.lower() in NEEDED or name.lower().startswith(("content-", "resent-")):
            raise ValueError(f"a mail needs its field {name!r}")
    return tuple(name.lower() for name in names)


def _sentence(value: object, vocabulary: Vocabulary) -> Value:
    if value is False:
        return False
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is neither a sentence nor false")
    return read_text(value)


def _mailbox(value: object, vocabulary: Vocabulary) -> Value:
    """The folded address of a mailbox; whether it is there is seen when a mail is to be copied."""
    if value is False:
        return False
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is neither an address nor false")
    try:
        return parse_address(value).key
    except BadAddress:
        raise ValueError(f"{value!r} is not an address") from None


def read_text(value: object) -> str:
    """A text that may stand in a notice, a log line or a header field: one printable line."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("there is no text")
    if len(value) > TEXT_LIMIT or not value.isprintable():
        raise ValueError(f"the text has more than {TEXT_LIMIT} characters, or some that cannot be printed")
    return value.strip()


_EVERYWHERE = ("outgoing", "incoming", "internal")
_NOT_OUTSIDE: Mapping[str, Value] = {"incoming": "never", "internal": "never"}

ACTIONS: tuple[Action, ...] = (
    Action(
        name="refuse",
        wanted='a sentence for the sender, or false: "not refused by the rules below"',
        sentence="Give the mail back to its sender with this sentence.",
        read=_sentence,
        fallback=dict.fromkeys(_EVERYWHERE, False),
    ),
    Action(
        name="quarantine",
        wanted='a sentence for the administrator, or false: "not kept by the rules below"',
        sentence="Keep the mail for an administrator, who lets it go, gives it back or deletes it.",
        read=_sentence,
        fallback=dict.fromkeys(_EVERYWHERE, False),
    ),
    Action(
        name="sign",
        wanted='"always", "possible" or "never"',
        sentence="Sign: always (else the mail is refused), if the sender may and can, or never.",
        read=_one_of("always", "possible", "never"),
        opposites=frozenset({"always", "never"}),
        fallback=dict.fromkeys(_EVERYWHERE, "never"),
    ),
    Action(
        name="encrypt",
        wanted='"must", "possible" or "never"',
        sentence="Encrypt: must (else the mail is refused), if one of the methods is usable now, or never.",
        read=_one_of("must", "possible", "never"),
        opposites=frozenset({"must", "never"}),
        fallback=_NOT_OUTSIDE,
    ),
    Action(
        name="methods",
        wanted="a list of methods in the order in which to try them",
        sentence="The methods to encrypt with, in the order in which they are tried.",
        read=_order,
        fallback=dict.fromkeys(_EVERYWHERE, METHODS),
    ),
    Action(
        name="otherwise",
        wanted='"refuse", "wait" or "hold"',
        sentence="What becomes of a mail that must be encrypted and cannot be: back to its sender, wait for a key, "
        "or be held for an administrator.",
        read=_one_of("refuse", "wait", "hold"),
        fallback=dict.fromkeys(_EVERYWHERE, "refuse"),
    ),
    Action(
        name="strip",
        wanted="names of header fields",
        sentence="Header fields that are removed on the way out.",
        read=_fields,
        fallback=dict.fromkeys(_EVERYWHERE, ()),
    ),
    Action(
        name="banner",
        wanted="the name of one of [banners], or false",
        sentence="A text to put into the mail, before it is signed.",
        read=_banner,
        fallback=dict.fromkeys(_EVERYWHERE, False),
    ),
    Action(
        name="signature",
        wanted='"keep" or "strip"',
        sentence="A good signature of incoming mail: kept for the reader's program, or taken off. A bad one stays.",
        read=_one_of("keep", "strip"),
        fallback=dict.fromkeys(_EVERYWHERE, "keep"),
    ),
    Action(
        name="mark",
        wanted="true or false",
        sentence="Write what was found about signature and encryption into a header field for the reader.",
        read=_switch,
        fallback={"incoming": True, "internal": False, "outgoing": False},
    ),
    Action(
        name="tag",
        wanted="true or false",
        sentence="Write it into the subject too, in front.",
        read=_switch,
        fallback=dict.fromkeys(_EVERYWHERE, False),
    ),
    Action(
        name="copy",
        wanted='the address of an archive mailbox, or false: "no copy by the rules below"',
        sentence="Keep a copy in this archive mailbox, as the mail came in; without the mailbox the mail waits.",
        read=_mailbox,
        fallback=dict.fromkeys(_EVERYWHERE, False),
    ),
)
