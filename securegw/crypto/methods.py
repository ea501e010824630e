"""The table of methods: how each recognises, protects and opens a mail. A new method is one file and one row.

Not the order in which methods are tried (``policy``) and not their keys (``keys``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs

from securegw.crypto import carrier, sealed_zip, smime
from securegw.mail.message import Message


@attrs.frozen
class Method:
    """``protect`` takes what is particular to the method; None where a method cannot do something.

    ``recognise`` names the outermost layer of a mail or says None; ``open`` never raises on what a stranger sent.
    """

    name: str
    sentence: str
    recognise: Callable[[Message], str | None] | None
    protect: Callable[..., bytes | str]
    open: Callable[..., smime.Opened] | None


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        row.name: row
        for row in (
            Method(
                "smime",
                "S/MIME: encrypted to the certificate of the recipient.",
                smime.recognise,
                smime.encrypt,
                smime.open,
            ),
            Method(
                "carrier",
                "A carrier: a mail with the letter as a sealed attachment, read in the portal.",
                None,
                carrier.pack,
                None,
            ),
            Method(
                "zip",
                "A ZIP file that opens with the password which the sender gave in the subject.",
                None,
                sealed_zip.pack,
                None,
            ),
        )
    }
)


def recognise(message: Message) -> Method | None:
    """The method by which a mail from outside is protected; None for a mail that nobody here has to open."""
    return next((method for method in METHODS.values() if method.recognise and method.recognise(message)), None)
