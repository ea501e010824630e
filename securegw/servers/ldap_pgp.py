"""OpenPGP keys as entries of GnuPG's schema for LDAP keyservers (doc/ldap in GnuPG's sources; its dirmngr asks so)."""

from __future__ import annotations

from datetime import UTC, datetime

from securegw.keys.published import PgpKey, armored, number_of
from securegw.servers.ldap_entries import Described
from securegw.servers.ldap_filters import Filter, names_in

_OWN = ("pgp", "gpg")


def describe_key(key: PgpKey) -> Described:
    """The entry of one key."""
    number = number_of(key.fingerprint)
    subkeys = tuple(number_of(each).encode() for each in key.subkeys)
    shown = {
        "objectClass": (b"top", b"pgpKeyInfo"),
        "pgpCertID": (number.encode(),),
        "pgpKeyID": (number[-8:].encode(),),
        "pgpSubKeyID": subkeys,
        "gpgFingerprint": (key.fingerprint.encode(),),
        "gpgSubFingerprint": tuple(each.encode() for each in key.subkeys),
        "pgpUserID": tuple(each.encode() for each in key.user_ids),
        "gpgMailbox": tuple(each.encode() for each in key.addresses),
        "pgpKeyType": (key.kind.encode(),),
        "pgpKeySize": (b"%05d" % key.bits,),
        "pgpKeyCreateTime": (_time(key.created),),
        "pgpKeyExpireTime": (_time(key.expires),) if key.expires is not None else (),
        "pgpRevoked": (b"0",),
        "pgpDisabled": (b"0",),
        "pgpKey": (armored(key),),
    }
    present = {name: values for name, values in shown.items() if values}
    name = b"gpgFingerprint=" + key.fingerprint.encode()
    found_by = {"pgpuserid": key.addresses}  # some ask for the address alone
    return Described(name, present, {"modifyTimestamp": (_time(key.added),)}, below=True, found_by=found_by)


def asks_for_keys(filter: Filter) -> bool:
    """Whether a filter speaks of what only OpenPGP keys have."""
    return any(name.startswith(_OWN) for name in names_in(filter))


def asks_for_people(filter: Filter) -> bool:
    """Whether a filter speaks of anything else."""
    names = names_in(filter)
    return not names or any(not name.startswith(_OWN) for name in names)


def _time(at: float) -> bytes:
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%d%H%M%SZ").encode()
