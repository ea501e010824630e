"""What was found out about a mail that came in: was it sealed, is it whole, who vouches for the signer, who is he.

Not one word "secure": whole, trusted and from the author are three answers, and only all three together are a good
signature (SEC2). RFC 8551, RFC 8550 3 and 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import attrs

from securegw.crypto.certificate import Certificate, read_certificate, speaks_for
from securegw.crypto.chain import Trust, judge
from securegw.crypto.cms_verify import Signature, Signed
from securegw.mail.address import Address
from securegw.mail.errors import BadKey

# How far a signer's clock may be ahead of ours.
CLOCK_SLIP = 3600.0


@attrs.frozen
class Verdict:
    """``reasons`` are words for what is not good, in the order in which it was found; ``signer`` is the subject.

    ``revocation`` needs the network: it is asked for and filled in by the floors above.
    """

    encrypted: Literal["opened", "failed", "none"] = "none"
    integrity: Literal["good", "bad", "none"] = "none"
    trust: Literal["good", "bad", "unknown", "none"] = "none"
    identity: Literal["good", "bad", "none"] = "none"
    reasons: tuple[str, ...] = ()
    signer: str = ""
    revocation: Literal["not-asked", "good", "revoked", "unknown"] = "not-asked"

    @property
    def signed_ok(self) -> bool:
        return self.integrity == self.trust == self.identity == "good" and self.revocation != "revoked"

    @property
    def signed(self) -> bool:
        """True if there is a signature that speaks of the whole mail, good or bad."""
        return self.integrity != "none"


@attrs.frozen
class Learnt:
    """A signer's verdict, and what may be kept for answers: certificates of the author himself, what lies between them
    and a root, what his program announced, and when he says that he signed."""

    verdict: Verdict
    certificates: tuple[bytes, ...] = ()
    links: tuple[bytes, ...] = ()
    announced: tuple[str, ...] = ()
    signed_at: float | None = None


def weigh(signed: Signed, roots: Sequence[bytes], at: float, author: Address | None) -> Learnt:
    """The verdict on all signatures of one content: one bad one spoils it, else the best one counts."""
    bad = next((one for one in signed.signatures if one.state == "bad"), None)
    good = [one for one in signed.signatures if one.state == "good" and one.certificate]
    if bad is not None or not good:
        return Learnt(Verdict(integrity="bad", reasons=(_why_not_good(signed, bad),)))
    found = [_weigh_one(one, signed.certificates, roots, at, author) for one in good]
    return min(found, key=lambda learnt: _rank(learnt.verdict))


def _why_not_good(signed: Signed, bad: Signature | None) -> str:
    if bad is not None:
        return bad.reason
    return signed.signatures[0].reason if signed.signatures else "no-signature"


def _rank(verdict: Verdict) -> tuple[bool, bool]:
    return verdict.identity != "good", verdict.trust != "good"


def _weigh_one(
    signature: Signature, chain: Sequence[bytes], roots: Sequence[bytes], at: float, author: Address | None
) -> Learnt:
    try:
        certificate = read_certificate(signature.certificate or b"")
    except BadKey:
        return Learnt(Verdict(integrity="good", trust="bad", identity="bad", reasons=("bad-certificate",)))
    trust = _judge_at(certificate, signature.signed_at, chain, roots, at)
    reasons = [] if trust.good else [trust.reason]
    identity: Literal["good", "bad", "none"] = "none"
    if author is not None:
        identity = "good" if speaks_for(certificate, author) else "bad"
    if identity != "good":
        reasons.append("no-author" if author is None else "other-address")
    verdict = Verdict(
        integrity="good",
        trust="good" if trust.good else "unknown" if trust.unknown else "bad",
        identity=identity,
        reasons=tuple(reasons),
        signer=certificate.subject,
    )
    if author is None or identity != "good" or verdict.trust == "bad":
        return Learnt(verdict)
    kept = tuple(_worth_keeping(certificate, chain, roots, at, author))
    return Learnt(verdict, kept, trust.links, signature.announced, signature.signed_at)


def _judge_at(
    certificate: Certificate,
    signed_at: float | None,
    chain: Sequence[bytes],
    roots: Sequence[bytes],
    at: float,
) -> Trust:
    """Now, and at the time that the signer names: he cannot have signed in the future or outside of the validity."""
    trust = judge(certificate, chain, roots, at, use="sign")
    if signed_at is None or not trust.good:
        return trust
    possible = certificate.not_before <= signed_at <= min(certificate.not_after, at + CLOCK_SLIP)
    return trust if possible else Trust(False, "signing-time")


def _worth_keeping(
    certificate: Certificate, chain: Sequence[bytes], roots: Sequence[bytes], at: float, author: Address
) -> Iterator[bytes]:
    """The signer's certificate if it takes keys; else his other one, if a trusted authority vouches for it (SEC5)."""
    if certificate.may_encrypt:
        yield certificate.der
        return
    for der in chain:
        try:
            other = read_certificate(der)
        except BadKey:
            continue
        if speaks_for(other, author) and judge(other, chain, roots, at, use="encrypt").good:
            yield der
