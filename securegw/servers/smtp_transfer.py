"""The commands that bring a message: MAIL, RCPT, DATA and BDAT.

Not the rest of the dialogue, and not a judge: it asks whether a sender, a recipient or a message is welcome. Obeys
RFC 5321 3.3 and 4.1.1, RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 3461 (DSN) and RFC 3030
(CHUNKING, without BINARYMIME: a text that came in chunks has lines like any other).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs

from securegw.mail.address import Address
from securegw.mail.envelope import Wishes
from securegw.mail.errors import BareLine, TooBig, TooManyRecipients
from securegw.servers.smtp_body import BodyReader, ChunkReader, Pieces
from securegw.servers.smtp_commands import Complaint, Reply, read_chunk, read_recipient, read_sender, split_path
from securegw.servers.smtp_conversation import Conversation, refusal
from securegw.servers.smtp_events import AskMessage, AskRecipient, AskSender, Bounds
from securegw.servers.smtp_parameters import Terms, read_terms, read_wishes
from securegw.servers.smtp_room import FULL, Place
from securegw.servers.smtp_spool import Spool


@attrs.define
class Transaction:
    """What one message has so far; ``chunks`` once BDAT has begun."""

    sender: Address | None
    terms: Terms
    recipients: list[Address] = attrs.Factory(list)
    wishes: dict[Address, Wishes] = attrs.Factory(dict)
    tried: int = 0
    chunks: Pieces | None = None


def _announced(transaction: Transaction) -> int:
    return transaction.terms.size or 0


def _text_of(chunks: Pieces) -> bytes | Spool:
    """What came in chunks, with an end to its last line; raises BareLine."""
    chunks.check()
    spool = chunks.spooled()
    if spool is not None:
        return spool
    raw = chunks.take()
    return raw if not raw or raw.endswith(b"\r\n") else raw + b"\r\n"


class Transfer(Conversation):
    """A conversation with the commands of a mail transaction."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self.helo = ""
        self._extended = False
        self._wary = True  # at the first line, and behind a refused DATA, nonsense is not forgiven
        self._transaction: Transaction | None = None
        self._swallowed = 0  # bytes of refused chunks since the last MAIL
        self._place = self._new_place()
        self._judged: Place | None = None  # of a text that is being taken: it is held until that has ended

    @property
    def reading_text(self) -> int | None:
        """How many bytes of a text have come, or None where there is none under way."""
        if self._reader is not None:
            return self._reader.size
        chunks = self._transaction and self._transaction.chunks
        return chunks.size if chunks else None

    def _forget(self) -> None:
        super()._forget()
        self._transaction = None
        self._leave()

    def _leave(self) -> None:
        self._place.leave()
        self._place = self._new_place()

    def _new_place(self) -> Place:
        return Place(self._bounds.room, spools=self._bounds.spool is not None)

    @property
    def behind(self) -> bool:
        """A text comes faster than the disk takes it: pause the transport until it is calm."""
        return self._place.behind

    def when_calm(self, call: Callable[[], None]) -> None:
        self._place.when_calm(call)

    def _answered(self) -> None:
        if self._judged is not None:
            self._judged.leave()
            self._judged = None

    # The envelope

    def _mail(self, argument: str) -> None:
        if not self.helo or self._transaction:
            raise Complaint(503, "5.5.1", "One sender at a time" if self.helo else "Introduce yourself first")
        path, parameters = self._path("FROM:", argument)
        terms = read_terms(parameters)
        sender = read_sender(path, utf8=terms.utf8)
        if terms.size is not None and terms.size > self._bounds.size:
            raise Complaint(TooBig.code, TooBig.status, TooBig().sentence, TooBig.reason)
        self._ask(AskSender(sender, terms), lambda reply: self._sender_answered(sender, terms, reply))

    def _sender_answered(self, sender: Address | None, terms: Terms, reply: Reply) -> None:
        if reply.permanent:
            return self._complain(reply)
        if not reply.positive:
            return self._decline(reply)
        self._replies.append(reply.wire())
        self._transaction, self._swallowed = Transaction(sender, terms), 0

    def _recipient(self, argument: str) -> None:
        transaction = self._transaction
        if not transaction or transaction.chunks:
            raise Complaint(503, "5.5.1", "The text has begun" if transaction else "Name the sender first")
        path, parameters = self._path("TO:", argument)
        utf8 = transaction.terms.utf8
        recipient = read_recipient(path, self._bounds.host, utf8=utf8)
        wishes = read_wishes(parameters, utf8=utf8)
        transaction.tried += 1
        if transaction.tried > 2 * self._bounds.recipients:
            return self._complain(refusal(TooManyRecipients()))
        if len(transaction.recipients) >= self._bounds.recipients:
            return self._decline(refusal(TooManyRecipients()))
        return self._ask(
            AskRecipient(transaction.sender, recipient),
            lambda reply: self._recipient_answered(transaction, recipient, wishes, reply),
        )

    def _recipient_answered(
        self, transaction: Transaction, recipient: Address, wishes: Wishes | None, reply: Reply
    ) -> None:
        if reply.positive:
            self._replies.append(reply.wire())
            transaction.recipients.append(recipient)
            if wishes:
                transaction.wishes[recipient] = wishes
            return
        self._decline(reply)
        if reply.permanent:
            self._count_junk()  # somebody tries names

    def _path(self, word: str, argument: str) -> tuple[str, dict[str, str]]:
        path, parameters = split_path(word, argument)
        if parameters and not self._extended:
            raise Complaint(555, "5.5.4", "Parameters need EHLO")
        return path, parameters

    # The text after DATA

    def _data(self, argument: str) -> None:
        transaction = self._transaction
        if not transaction or not transaction.recipients or transaction.chunks or argument:
            return self._refuse_data(argument)
        if not self._place.grow(_announced(transaction)):
            return self._refuse_data(argument)
        self._say(354, "", "Go on, and end with CRLF.CRLF")
        body = BodyReader(self._bounds.size, self._place.grow, partial(self._spool, transaction))
        return self._listen(body, lambda: self._finish_body(transaction, body))

    def _refuse_data(self, argument: str) -> None:
        """A text sent without waiting for 354 must not be run as commands."""
        self._wary = True
        reply = self._objection("DATA has no parameters" if argument else "")
        if self._buffer:
            return self._hang_up(reply, "text sent ahead of a refused DATA")
        if reply is FULL:
            self._leave()
            return self._decline(reply)
        if reply.code == 554:  # the normal end of a pipelined envelope without a good recipient (RFC 2920 3.1)
            return self._decline(reply)
        return self._complain(reply)

    def _objection(self, grammar: str) -> Reply:
        """Why no text can come now."""
        if grammar:
            return Reply(501, "5.5.4", grammar, "bad-command")
        if not self._transaction:
            return Reply(503, "5.5.1", "Name the sender first", "bad-command")
        if self._transaction.chunks:
            return Reply(503, "5.5.1", "BDAT has begun; go on with it", "bad-command")
        if self._place.refused:
            return FULL
        return Reply(554, "5.5.1", "No valid recipients", "no-recipients")

    def _spool(self, transaction: Transaction) -> Spool | None:
        """The text has become large."""
        spool = self._bounds.spool
        return self._place.send_to(spool(transaction.recipients) if spool else None)

    def _finish_body(self, transaction: Transaction, body: BodyReader) -> None:
        if body.overflowed:
            self._hang_up(refusal(TooBig()), "text over the limit")
        elif self._place.refused:
            self._forget()
            self._decline(FULL)
        else:
            self._finish_text(transaction, body.text)

    # The text in chunks

    def _chunk(self, argument: str) -> None:
        """A chunk that is refused is swallowed before the reply (RFC 3030 2): its bytes are never commands."""
        found = read_chunk(argument)
        if not found:
            return self._hang_up(Reply(501, "5.5.4", "BDAT has a size and perhaps LAST"), "a chunk without a size")
        size, last = found
        transaction = self._transaction
        if not transaction or not transaction.recipients:
            return self._swallow(size, self._objection(""))
        chunks = transaction.chunks = transaction.chunks or Pieces(partial(self._spool, transaction))
        if chunks.size + size > self._bounds.size:
            return self._swallow(size, refusal(TooBig()))
        if not self._place.grow(max(chunks.size + size, _announced(transaction))):
            return self._swallow(size, FULL)
        return self._read_chunk(ChunkReader(size, chunks), lambda: self._finish_chunk(transaction, size, last))

    def _read_chunk(self, reader: ChunkReader, finish: Callable[[], None]) -> None:
        if reader.complete:
            finish()
        else:
            self._listen(reader, finish)

    def _swallow(self, size: int, objection: Reply) -> None:
        """The message has failed as a whole: what follows of it meets the same end."""
        self._forget()
        self._swallowed += size
        if self._swallowed > 2 * self._bounds.size:
            return self._hang_up(refusal(TooBig()), "text far over the limit")
        return self._read_chunk(ChunkReader(size, None), lambda: self._refuse_chunk(objection))

    def _refuse_chunk(self, objection: Reply) -> None:
        self._decline(objection)
        self._count_junk()

    def _finish_chunk(self, transaction: Transaction, size: int, last: bool) -> None:
        assert transaction.chunks is not None
        if last:
            return self._finish_text(transaction, partial(_text_of, transaction.chunks))
        self._say(250, "2.0.0", f"{size} bytes taken")
        return None if size else self._count_junk()

    # The message

    def _finish_text(self, transaction: Transaction, take: Callable[[], bytes | Spool]) -> None:
        self._transaction = None
        self.steps += 1
        try:
            raw = take()
        except BareLine as error:  # the client and we may see different messages: trust nothing that follows
            return self._hang_up(refusal(error), "lone CR, LF or NUL")
        if len(raw) > self._bounds.size:
            return self._hang_up(refusal(TooBig()), "text over the limit")
        question = AskMessage(
            transaction.sender, tuple(transaction.recipients), transaction.terms, raw, transaction.wishes
        )
        self._judged, self._place = self._place, self._new_place()
        return self._ask(question, self._message_answered)

    def _message_answered(self, reply: Reply) -> None:
        if not reply.positive:
            return self._decline(reply)
        self._replies.append(reply.wire())
        self._errors = self._junk = 0
        return None
