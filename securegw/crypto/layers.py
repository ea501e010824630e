"""Opens a mail layer by layer: decrypted, unpacked, its signature checked, what is left fit to be delivered.

Not CMS itself (``cms_decrypt``, ``cms_verify``, ``cms_compressed``) and not the weighing of signers (``verdict``).
Only a whole mail is ever opened: an encrypted part beside anything else stays closed (EFAIL, threats 29). RFC 8551 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from securegw.crypto.cms_compressed import decompress
from securegw.crypto.cms_decrypt import Decrypted, decrypt
from securegw.crypto.cms_parts import Kind, decoded, recognise, two_halves
from securegw.crypto.cms_verify import Signed, verify
from securegw.crypto.entity import canonical, inside_out, read_entity
from securegw.crypto.verdict import Verdict, weigh
from securegw.mail.address import Address
from securegw.mail.errors import HeaderTooLarge, MailError
from securegw.mail.message import Message, read

LAYERS = 5


@attrs.frozen
class Opened:
    """A mail as it is delivered, which layers were taken off or checked (outermost first), and the verdict.

    ``certificates`` are the author's, to be kept for answers; how far they are trusted is what ``verdict.trust`` says.
    ``links`` are authorities that lead from a trusted signer to his root. ``announced`` is what the author's program
    says that it opens, in the words of ``capabilities``, and ``signed_at`` when he says that he has signed.
    """

    raw: bytes = attrs.field(repr=False)
    layers: tuple[str, ...] = ()
    verdict: Verdict = attrs.field(factory=Verdict)
    certificates: tuple[bytes, ...] = ()
    links: tuple[bytes, ...] = ()
    announced: tuple[str, ...] = ()
    signed_at: float | None = None


def open(
    raw: bytes,
    keys: Sequence[tuple[bytes, bytes]],
    roots: Sequence[bytes],
    at: float,
    author: Address | None,
    *,
    layers: int = LAYERS,
    strip: bool = False,
    known: Sequence[bytes] = (),
) -> Opened:
    """Take off what can be taken off. ``keys`` are our (private key, certificate) pairs; never raises on odd mail.

    The outermost signature counts, but for one around an encrypted content, which says nothing about what is read.
    ``strip``: a good signature beside its content comes off too; a bad one always stays, as evidence. ``known`` are
    certificates that we hold, of the author and of authorities: some programs send theirs with the first mail only.
    """
    means = _Means(keys, roots, at, author, strip, known)
    try:
        opening = _Opening(read(raw), means)
    except HeaderTooLarge as problem:
        return Opened(raw, verdict=Verdict(reasons=(problem.reason,)))
    for _ in range(layers):
        if not opening.step():
            return opening.result
    return opening.stopped()


@attrs.frozen
class _Means:
    """With what a mail is opened, see ``open``."""

    keys: Sequence[tuple[bytes, bytes]] = attrs.field(repr=False)
    roots: Sequence[bytes]
    at: float
    author: Address | None
    strip: bool
    known: Sequence[bytes]


class _Opening:
    """One mail while its layers come off; ``result`` is always fit to be delivered."""

    def __init__(self, message: Message, means: _Means) -> None:
        self.result = Opened(message.raw)
        self._came = message.raw
        self._message, self._means = message, means

    def step(self) -> bool:
        """Take off one layer; False if there is no further one, or it must stay."""
        kind = recognise(self._message)
        if kind is None:
            return False
        if kind == "encrypted":
            return self._decrypt()
        if kind == "compressed":
            return self._decompress()
        # A signed mail within a signed one is a mail that was forwarded: only the outermost counts (threats 35).
        return not self.result.verdict.signed and self._check(kind)

    def stopped(self) -> Opened:
        """Too many layers: what is still closed stays closed."""
        if recognise(self._message) is None:
            return self.result
        return attrs.evolve(self.result, verdict=self._noted("too-many-layers"))

    def _noted(self, *reasons: str) -> Verdict:
        verdict = self.result.verdict
        return attrs.evolve(verdict, reasons=(*verdict.reasons, *reasons))

    def _decrypt(self) -> bool:
        signed_outside = self.result.verdict.signed  # what was signed is only the sealed text
        if signed_outside:
            self._forget_signature()
        try:
            found = decrypt(decoded(self._message), self._means.keys)
            self._go_in(read_entity(found.content), "encrypted", self._opened(found))
        except MailError as problem:
            self._stay(attrs.evolve(self._noted(problem.reason), encrypted="failed"))
            if signed_outside:
                self.result = Opened(self._came, verdict=self.result.verdict)
            return False
        return True

    def _opened(self, found: Decrypted) -> Verdict:
        """A text that anybody could have changed is still opened, but it is told."""
        reasons = () if found.authenticated else ("unauthenticated-cipher",)
        return attrs.evolve(self._noted(*reasons), encrypted="opened")

    def _decompress(self) -> bool:
        try:
            entity = read_entity(decompress(decoded(self._message)))
        except MailError as problem:
            self._stay(self._noted(problem.reason))
            return False
        self._go_in(entity, "compressed", self.result.verdict)
        return True

    def _check(self, kind: Kind) -> bool:
        try:
            read_signed = _read_opaque if kind == "opaque" else _read_detached
            signed, entity = read_signed(self._message, self._means.known)
            if recognise(entity) == "encrypted":
                return self._ignore_around(kind, entity)
            return self._weigh(kind, signed, entity)
        except MailError as problem:
            self._stay(attrs.evolve(self._noted(problem.reason), integrity="bad"), kind)
        return False

    def _weigh(self, kind: Kind, signed: Signed, entity: Message) -> bool:
        """A good signature around the content comes off, and one beside it that hides a compressed content.

        Else one beside the content stays, for the reader's own program.
        """
        means, before = self._means, self.result.verdict
        learnt = weigh(signed, means.roots, means.at, means.author)
        verdict = attrs.evolve(
            learnt.verdict,
            encrypted=before.encrypted,
            reasons=(*before.reasons, *learnt.verdict.reasons),
        )
        packed = recognise(entity) == "compressed"
        comes_off = verdict.integrity == "good" and (kind == "opaque" or packed or means.strip)
        if comes_off:
            self._go_in(entity, kind, verdict)
        else:
            self._stay(verdict, kind)
        self.result = attrs.evolve(
            self.result,
            certificates=learnt.certificates,
            links=learnt.links,
            announced=learnt.announced,
            signed_at=learnt.signed_at,
        )
        return comes_off and packed

    def _ignore_around(self, kind: Kind, entity: Message) -> bool:
        """Whoever signs what he cannot read need not be its author: only what is inside counts."""
        before, message = self.result, self._message
        self._go_in(entity, kind, self._noted("signature-around-encryption"))
        if self._decrypt():
            return True
        failed = self.result.verdict
        self.result, self._message = attrs.evolve(before, verdict=failed), message
        return False

    def _forget_signature(self) -> None:
        told = self._noted("signature-around-encryption")
        verdict = Verdict(encrypted=told.encrypted, reasons=told.reasons)
        self.result = Opened(self.result.raw, self.result.layers, verdict)

    def _stay(self, verdict: Verdict, *layers: str) -> None:
        self.result = attrs.evolve(self.result, layers=(*self.result.layers, *layers), verdict=verdict)

    def _go_in(self, entity: Message, layer: str, verdict: Verdict) -> None:
        self._message = read(inside_out(self._message, entity))
        self.result = attrs.evolve(self.result, raw=self._message.raw)
        self._stay(verdict, layer)


def _read_opaque(message: Message, known: Sequence[bytes]) -> tuple[Signed, Message]:
    signed = verify(decoded(message), None, known)
    return signed, read_entity(signed.content)


def _read_detached(message: Message, known: Sequence[bytes]) -> tuple[Signed, Message]:
    content, signature = two_halves(message)
    return verify(decoded(signature), canonical(content), known), read(content)
