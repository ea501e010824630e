"""One tree of errors: each says what happened to the mail in words a stranger may read.

Not for programming mistakes. A door translates an error with its own small table: SMTP takes ``code`` and
``status`` (RFC 5321 4.2.1, RFC 3463), the portal takes ``sentence``. ``detail`` is for the log only.
"""

from __future__ import annotations

from typing import ClassVar


class MailError(Exception):
    """Something about this mail could not be done."""

    code: ClassVar[int] = 554
    status: ClassVar[str] = "5.0.0"
    reason: ClassVar[str] = "error"

    def __init__(self, sentence: str = "", *, detail: str = "") -> None:
        self.sentence = sentence or (type(self).__doc__ or "").splitlines()[0]
        self.detail = detail
        super().__init__(self.sentence)

    @property
    def temporary(self) -> bool:
        """True if the same thing may go well later (RFC 3463 2: class 4)."""
        return self.status.startswith("4")


class BadAddress(MailError):
    """The address is not valid."""

    code, status, reason = 553, "5.1.3", "bad-address"


class UnknownRecipient(MailError):
    """There is no such mailbox here."""

    code, status, reason = 550, "5.1.1", "unknown-recipient"


class MailboxSuspended(MailError):
    """This mailbox is suspended and takes no mail."""

    code, status, reason = 550, "5.2.1", "mailbox-suspended"


class UnknownSender(MailError):
    """The sender is not known here."""

    code, status, reason = 550, "5.7.1", "unknown-sender"


class RelayDenied(MailError):
    """We do not take mail for this recipient from you."""

    code, status, reason = 554, "5.7.1", "relay-denied"


class TooBig(MailError):
    """The message is larger than we accept."""

    code, status, reason = 552, "5.3.4", "too-big"


class TooManyRecipients(MailError):
    """Too many recipients for one message; send the rest in another."""

    code, status, reason = 452, "4.5.3", "too-many-recipients"


class BareLine(MailError):
    """The message has a lone CR, a lone LF or a NUL; lines end with CRLF (RFC 5321 2.3.8)."""

    code, status, reason = 550, "5.6.0", "bare-line"


class HeaderTooLarge(MailError):
    """The header of the message is too large or has too many fields."""

    code, status, reason = 552, "5.3.4", "header-too-large"


class MailLoop(MailError):
    """The message has passed too many hops; it seems to go in a circle."""

    code, status, reason = 554, "5.4.6", "mail-loop"


class Refused(MailError):
    """A rule refuses this message."""

    code, status, reason = 550, "5.7.1", "refused"


class NoProtection(MailError):
    """The message must be protected and there is no way to protect it for this recipient."""

    code, status, reason = 550, "5.7.10", "no-protection"


class NoSms(MailError):
    """No SMS can be sent to this telephone number."""

    code, status, reason = 550, "5.7.1", "no-sms"


class NotExamined(MailError):
    """The message is built in a way that we do not take apart."""

    code, status, reason = 554, "5.6.0", "not-examined"


class Later(MailError):
    """This cannot be done now; it will be tried again."""

    code, status, reason = 451, "4.3.0", "later"


class StoreBusy(Later):
    """The message could not be stored now; please try again."""

    code, status, reason = 451, "4.3.0", "store-busy"


class MailboxInUse(Later):
    """Another session has this mailbox open."""

    code, status, reason = 450, "4.2.1", "mailbox-in-use"


class DiskFull(Later):
    """There is not enough room now; please try again."""

    code, status, reason = 452, "4.3.1", "disk-full"


class WorkerLost(Later):
    """The work on this message did not end in time."""

    code, status, reason = 451, "4.3.0", "worker-lost"


class LostClaim(Later):
    """Another node has taken over this message."""

    code, status, reason = 451, "4.3.0", "lost-claim"


class NameServerTrouble(Later):
    """The name servers of the domain do not answer now."""

    code, status, reason = 451, "4.4.3", "name-server"


class NoSuchDomain(MailError):
    """The domain does not exist or takes no mail."""

    code, status, reason = 550, "5.1.2", "no-such-domain"


class NullMX(NoSuchDomain):
    """The domain says that it takes no mail (RFC 7505)."""

    code, status, reason = 556, "5.1.10", "null-mx"


class SealBroken(MailError):
    """The sealed text cannot be opened: it was changed, cut, or made for somebody else."""

    code, status, reason = 554, "5.7.5", "seal-broken"


class BrokenCarrier(SealBroken):
    """The sealed letter is damaged or was not made by this gateway."""

    reason = "broken-carrier"


class WrongAccount(MailError):
    """This letter is sealed for another account."""

    code, status, reason = 554, "5.7.0", "wrong-account"


class LetterGone(MailError):
    """The letter is not here any more; open the attachment again."""

    code, status, reason = 554, "5.6.0", "letter-gone"


class LetterWithdrawn(LetterGone):
    """The sender has withdrawn this letter."""

    reason = "letter-withdrawn"


class WrongPassword(MailError):
    """That password does not open this account."""

    code, status, reason = 535, "5.7.8", "wrong-password"


class WeakPassword(MailError):
    """That password is too easy to guess."""

    code, status, reason = 535, "5.7.8", "weak-password"


class TooManyTries(Later):
    """Too many tries; please wait."""

    code, status, reason = 454, "4.7.0", "too-many-tries"

    def __init__(self, sentence: str = "", *, seconds: float = 60.0, detail: str = "") -> None:
        super().__init__(sentence, detail=detail)
        self.seconds = seconds


class BadKey(MailError):
    """The key or certificate cannot be read or used."""

    code, status, reason = 554, "5.7.5", "bad-key"
