"""Codes by SMS, to the number that a sender gave in the subject (product row S7).

Through a service that takes mail: so an SMS waits, is tried again and is told of like any mail, and nothing here talks
to the world. The number is dialled as it was given or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from securegw import config
from securegw.config import setting
from securegw.mail import compose
from securegw.mail.address import Address, Mailbox, parse_address
from securegw.mail.errors import BadAddress, NoSms

if TYPE_CHECKING:
    from securegw.flow.notices import Notices
    from securegw.flow.treatment import Finished
    from securegw.mail.texts import Texts

NUMBER = "NUMBER"
# What E.164 numbers have after the plus sign; shorter ones are services, not people.
SHORTEST, LONGEST = 8, 15

# Numbers for which the caller pays more: Switzerland, Germany, Austria, France, Italy, Great Britain, international.
DEAR = (
    *("+41900", "+41901", "+41906", "+49900", "+49137", "+43900", "+43901", "+43930", "+43931", "+338", "+3989"),
    *("+449", "+979", "+870", "+881", "+882", "+883"),
)


@attrs.frozen
class SmsSettings:
    """Codes of the portal by SMS, where the sender gives a number as [sms:+41 79 123 45 67]."""

    to: str = setting(
        config.text, default="",
        help='The address at which a service takes mail for SMS, with NUMBER in it: "NUMBER@sms.example.net". Give its '
        "domain a route with TLS (securegw routes): the mail has the code in it. Empty: there is no such service.",
    )
    sender: str = setting(
        config.text, default="",
        help="The sender as the service knows it. Empty: who writes the letter, and is then told if it fails.",
    )
    country: str = setting(
        config.text, default="",
        help='The code of your country for numbers without one, such as "41". Empty: they are refused.',
    )
    prefix: str = setting(
        config.choice("+", "00", "none"), default="+",
        help="How the service wants a number: +41791234567, 0041791234567 or 41791234567.",
    )
    refuse: tuple[str, ...] = setting(
        config.list_of(config.text), default=DEAR, help="Numbers that begin so are never written to."
    )


def check_settings(settings: SmsSettings) -> None:
    """Raise BadAddress or ValueError where the service's address, the sender or the country is none."""
    if settings.to:
        if NUMBER not in settings.to:
            raise ValueError(f"sms.to: {NUMBER} is not in it")
        parse_address(settings.to.replace(NUMBER, "41791234567"))
    if settings.sender:
        parse_address(settings.sender)
    if settings.country and not (settings.country.isascii() and settings.country.isdigit()):
        raise ValueError('sms.country: digits alone, such as "41"')


@attrs.frozen
class Messenger:
    """Writes the mails that become SMS."""

    settings: SmsSettings
    organisation: str
    host: str
    notices: Notices
    texts: Texts
    now: Callable[[], float]

    def number(self, given: str) -> str:
        """The number as +DIGITS (E.164); raises NoSms, which goes back to who gave it."""
        if not self.settings.to:
            raise NoSms("There is no service for SMS here; please write without a telephone number.")
        number = _international(given, self.settings.country)
        if not SHORTEST <= len(number) - 1 <= LONGEST:
            raise NoSms("What the subject gives as a telephone number is none.")
        if any(number.startswith(prefix.replace(" ", "")) for prefix in self.settings.refuse):
            raise NoSms("To this telephone number no SMS is sent from here.")
        return number

    def code(self, number: str, code: str, *, sender: Address, language: str, trace: str) -> Finished:
        """The SMS with the first code of an account."""
        told = self.texts.mail("sms", language, code=code, sender=str(sender), host=self.host)
        address = self.settings.to.replace(NUMBER, _dialled(number, self.settings.prefix))
        try:
            author = parse_address(self.settings.sender) if self.settings.sender else sender
            to = parse_address(address)
        except BadAddress:
            raise NoSms(detail="the settings of [sms] are no addresses") from None
        raw = compose.compose(
            sender=Mailbox(self.organisation, author),
            to=(to,),
            text=told,
            message_id=compose.message_id(self.notices.host),
            date=self.now(),
        )
        return self.notices.finished(raw, (str(to),), self.now(), trace=trace, sender=str(author), direction="outgoing")


def _international(given: str, country: str) -> str:
    """RFC 3966 5.1.4: with the country before it, and without the zero that stands before a number at home."""
    if given.startswith("+"):
        return given
    if given.startswith("00"):
        return "+" + given.removeprefix("00")
    if not country:
        raise NoSms("Please give the telephone number with its country, as +41 79 123 45 67.")
    return f"+{country}{given.removeprefix('0')}"


def _dialled(number: str, prefix: str) -> str:
    return number if prefix == "+" else number.replace("+", "00" if prefix == "00" else "", 1)
