"""The decision: what shall happen to a mail for one recipient, and which rule wanted it so.

Not the deciding, see ``decide``. A value that survives JSON: it stands in the queue row, in the audit trail and in
the answer of ``securegw explain``. One promise is built in: a decision that must encrypt cannot be made with a
plain method, neither here nor by reading a row back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import attrs

Outcome = Literal["send", "wait", "hold", "refuse"]
Value = str | bool | tuple[str, ...]

PLAIN = "plain"
OUTCOMES: tuple[str, ...] = get_args(Outcome)

# Reason words of decisions that no rule made; a rule gives its own reason.
CONTRADICTION = "contradiction"
TWO_SUBJECTS = "two-subjects"
MAY_NOT_SIGN = "may-not-sign"
MAY_NOT_ENCRYPT = "may-not-encrypt"
NO_METHOD = "no-method"
NOT_KNOWN_NOW = "not-known-now"
NO_RULE = "no-rule"
NOT_EXAMINED = "not-examined"
UNREADABLE = "unreadable"
RELEASED = "released"
KEYWORD_VALUE = "keyword-value"


@attrs.frozen
class Ruling:
    """What one rule says of one aspect; an empty ``rule`` is what holds where no rule speaks."""

    aspect: str
    value: Value
    rule: str
    reason: str


@attrs.frozen
class Decision:
    """What shall happen to a mail for one recipient.

    ``method`` is the first of ``methods``, which are tried in order; it is ``plain`` where nothing is encrypted,
    empty where nothing is sent. ``subject`` is the outer subject without keywords, None if it stays.
    ``sentence`` is for the sender of a mail that waits or is refused; for the administrator if it is in quarantine.
    ``found`` says in words what was found in the mail, such as names of patterns.
    """

    outcome: Outcome
    reason: str
    rule: str = ""
    sentence: str = ""
    sign: bool = False
    method: str = ""
    methods: tuple[str, ...] = ()
    mark: bool = False
    tag: bool = False
    subject: str | None = None
    strip_fields: tuple[str, ...] = ()
    rulings: tuple[Ruling, ...] = ()
    found: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise ValueError(f"no such outcome: {self.outcome!r}")
        if (self.outcome == "send") != bool(self.method):
            raise ValueError("a method belongs to what is sent, and only to that")
        if self.methods and self.method != self.methods[0]:
            raise ValueError("the method is the first of the methods")
        if self.method == PLAIN and (self.must_encrypt or self.methods):
            raise ValueError("what must be encrypted is never sent plain")

    @property
    def must_encrypt(self) -> bool:
        return self._says("encrypt", "must")

    @property
    def must_sign(self) -> bool:
        """True if an unsigned mail may not leave; else a missing certificate is no obstacle."""
        return self._says("sign", "always")

    @property
    def quarantined(self) -> bool:
        """True if a rule keeps it for an administrator to look at."""
        ruling = self.ruling("quarantine")
        return self.outcome == "hold" and ruling is not None and isinstance(ruling.value, str)

    @property
    def banner(self) -> str:
        """The name of the text to put in; empty for none."""
        ruling = self.ruling("banner")
        return ruling.value if ruling is not None and isinstance(ruling.value, str) else ""

    @property
    def strips_signature(self) -> bool:
        return self._says("signature", "strip")

    def _says(self, aspect: str, value: Value) -> bool:
        ruling = self.ruling(aspect)
        return ruling is not None and ruling.value == value

    def ruling(self, aspect: str) -> Ruling | None:
        for ruling in self.rulings:
            if ruling.aspect == aspect:
                return ruling
        return None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return attrs.asdict(self, value_serializer=_plain)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Decision:
        """The decision of ``as_dict``; anything else raises ValueError, since a guess could send in clear."""
        _check_shape(plain)
        rulings = tuple(_ruling(row) for row in plain["rulings"])
        lists = {name: _words(plain[name], name) for name in ("methods", "strip_fields", "found")}
        return cls(**{**plain, **lists, "rulings": rulings})


def _plain(holder: object, field: object, value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


_TEXTS = ("outcome", "reason", "rule", "sentence", "method")
_SWITCHES = ("sign", "mark", "tag")


def _check_shape(plain: Mapping[str, Any]) -> None:
    if set(plain) != {field.name for field in attrs.fields(Decision)}:
        raise ValueError("not the fields of a decision")
    if not all(isinstance(plain[name], str) for name in _TEXTS):
        raise ValueError("not the texts of a decision")
    if not all(isinstance(plain[name], bool) for name in _SWITCHES):
        raise ValueError("not the switches of a decision")
    if not isinstance(plain["subject"], str | None) or not isinstance(plain["rulings"], list | tuple):
        raise ValueError("not a decision")


def _ruling(row: object) -> Ruling:
    if not isinstance(row, Mapping) or set(row) != {"aspect", "value", "rule", "reason"}:
        raise ValueError("not a ruling")
    if not all(isinstance(row[name], str) for name in ("aspect", "rule", "reason")):
        raise ValueError("not the texts of a ruling")
    value = row["value"]
    return Ruling(**{**row, "value": value if isinstance(value, str | bool) else _words(value, "value")})


def _words(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | Mapping):
        raise ValueError(f"{name} is not a list")
    words = tuple(value)
    if not all(isinstance(word, str) for word in words):
        raise ValueError(f"{name} is not a list of words")
    return words
