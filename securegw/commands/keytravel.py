"""Certificates and keys on their way in and out: import and export of PEM, DER and PKCS #12.

A private key comes in to be sealed at once. It leaves only when the command says ``--private``, under a password, into
a file of the owner's, and an event tells of it before the file is written. RFC 7292, RFC 7468.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from securegw.commands import keyfiles
from securegw.commands.arguments import address
from securegw.commands.keyrows import SHORTEST_NAME, named, usable
from securegw.commands.opening import Refusal, master_key, told, write_new, write_secret
from securegw.commands.passwords import add_password_file, read_password
from securegw.crypto.authority import to_pem
from securegw.crypto.certificate import found_by, speaks_for
from securegw.crypto.keyfile import write_pkcs12
from securegw.keys import trust
from securegw.keys.issue import PRIVATE_KEY, held
from securegw.mail.address import parse_address
from securegw.store import domains, keystore

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from securegw.commands.actions import Actions
    from securegw.commands.keyfiles import KeyFile
    from securegw.commands.opening import Store
    from securegw.crypto.certificate import Certificate
    from securegw.mail.address import Address
    from securegw.store.keystore import Held


def add_import(actions: Actions) -> None:
    """``securegw keys import FILE``."""
    word = actions.add("import", import_file, "Import certificates or a private key: PEM, DER or PKCS #12.")
    word.add_argument("file", type=Path)
    word.add_argument("--address", type=address, help="only for this address (default: all that the certificate names)")
    word.add_argument("--trust", action="store_true", help="trust it at once; an authority thereby becomes a root")
    add_password_file(word)


def add_export(actions: Actions) -> None:
    """``securegw keys export FINGERPRINT``."""
    word = actions.add("export", export, "Export a certificate as PEM, or with --private its key as PKCS #12.")
    word.add_argument("fingerprint", help=f"at least its first {SHORTEST_NAME} digits")
    word.add_argument("--private", action="store_true", help="with its private key, as PKCS #12 under a password")
    word.add_argument("--out", metavar="FILE", type=Path, help="the new file (default: standard output)")
    add_password_file(word)


def import_file(store: Store, arguments: Namespace) -> int:
    """Keep what a file holds: certificates for their addresses, authorities, and the private key sealed."""
    found = keyfiles.read_key_file(arguments.file, arguments.password_file)
    if not found.certificates:
        raise Refusal(f"{arguments.file}: holds no certificate, and a key alone is of no use here")
    for each in found.certificates:
        if found.key_of(each) is not None:
            check_own(store, each, arguments)
    for new in list(rows_of(store, found, arguments)):
        event = told("key-imported", address=new.address, fingerprint=new.fingerprint, private=new.private is not None)
        store.change(event, keystore.add, new)
        print(f"{new.fingerprint[:16]} for {new.address or 'an authority'}: imported, {remark(store, new)}")
    return 0


def check_own(store: Store, read: Certificate, arguments: Namespace) -> None:
    """A private key is taken for people of ours only, and never an authority's."""
    if read.is_ca:
        raise Refusal(f"{arguments.file}: an authority's private key is not imported; see: securegw keys authority")
    for each in addresses_of(read, arguments):
        if store.ask(domains.find_domain, each.domain) is None:
            raise Refusal(f"{each}: {each.domain} is no domain of ours; its private key has no business here")


def rows_of(store: Store, found: KeyFile, arguments: Namespace) -> Iterator[Held]:
    """The rows that a key file becomes: one for each address, one for each authority."""
    for read in found.certificates:
        private = found.key_of(read)
        believed = "trusted" if arguments.trust or private is not None else "unknown"
        names = [""] if read.is_ca else [each.key for each in addresses_of(read, arguments)]
        for name in names:
            yield new_row(store, private, read, name, believed)


def addresses_of(read: Certificate, arguments: Namespace) -> list[Address]:
    """For whom a certificate is kept: whom it names, or the one of them that the command names."""
    wanted: Address | None = arguments.address
    if wanted is not None:
        if not speaks_for(read, wanted):
            raise Refusal(f"{arguments.file}: {read.subject} does not name the address {wanted}")
        return [wanted]
    if not read.addresses:
        raise Refusal(f"{arguments.file}: {read.subject} names no e-mail address")
    return [parse_address(each) for each in read.addresses]


def new_row(store: Store, private: bytes | None, read: Certificate, name: str, believed: str) -> Held:
    """One row, its private key sealed under the master key."""
    if private is not None:
        master = master_key(store.settings)
        return held(master, private, read.der, source="imported", trust=believed, now=time.time(), address=name)
    return keystore.Held(
        address=name, der=read.der, fingerprint=read.fingerprint, source="imported", trust=believed,
        not_before=read.not_before, not_after=read.not_after, created=time.time(),
        names=found_by(read.der) if name else "",
    )


def remark(store: Store, new: Held) -> str:
    """What has become of it: one that was here already keeps the trust that was decided before."""
    [there] = [each for each in named(store, new.fingerprint) if each.address == new.address]
    if not there.address:
        return "a root from now on" if there.trust == "trusted" else f"{there.trust} until you say: securegw keys trust"
    judged = usable(store, there)
    return f"{'may' if judged['good'] else 'may not'} be encrypted to ({judged['why']})"


def export(store: Store, arguments: Namespace) -> int:
    """Write a certificate, or with its private key a PKCS #12 file."""
    rows = named(store, arguments.fingerprint)
    if arguments.private:
        return export_private(store, rows[0], arguments)
    pem = to_pem(rows[0].der)
    if arguments.out is None:
        print(pem.decode("ascii"), end="")
    else:
        write_new(arguments.out, pem)
    return 0


def export_private(store: Store, public: Held, arguments: Namespace) -> int:
    """The event first: a private key never leaves without one."""
    if arguments.out is None:
        raise Refusal("a private key goes into a file; name a new one: --out FILE")
    rows = store.ask(keystore.with_private, public.address)
    sealed = next((each.private for each in rows if each.fingerprint == public.fingerprint), None)
    if sealed is None:
        raise Refusal(f"{arguments.fingerprint}: there is no private key of it here")
    if arguments.out.exists():
        raise Refusal(f"{arguments.out}: is there already")
    password = read_password(str(arguments.out), arguments.password_file, twice=True)
    private = master_key(store.settings).open(PRIVATE_KEY, public.fingerprint, sealed)
    content = write_pkcs12(private, public.der, chain_of(store, public), name=public.address, password=password)
    store.note(told("private-key-exported", address=public.address, fingerprint=public.fingerprint))
    write_secret(arguments.out, content)
    print(f"{arguments.out}: written; an event tells of it", file=sys.stderr)
    return 0


def chain_of(store: Store, public: Held) -> list[bytes]:
    """The authorities above it, as far as they are known here."""
    return list(trust.chain_of(public.der, store.ask(keystore.authorities)))
