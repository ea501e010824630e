"""What the server says of itself: the root, its schema, the entry that searches begin at, and that of a key server.

RFC 4512 5.1 (root) and 4.2 (schema), RFC 3045 (vendor). GnuPG's dirmngr reads the root's ``namingContexts`` and then
``cn=pgpServerInfo`` below it; without that, every command of it fails.
"""

from __future__ import annotations

import attrs

from securegw import __version__
from securegw.servers.ldap_entries import Described
from securegw.servers.ldap_replies import START_TLS
from securegw.servers.ldap_requests import HARMLESS, PAGES

SCHEMA = "cn=subschema"
SERVER_INFO = "cn=pgpserverinfo"
SOFTWARE = "securegw"

# As in RFC 4519, RFC 2798 and RFC 4523; clients look here to learn how values are written.
_TYPES = (
    "( 2.5.4.0 NAME 'objectClass' EQUALITY objectIdentifierMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.38 )",
    "( 2.5.4.3 NAME ( 'cn' 'commonName' ) EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
    "( 2.5.4.4 NAME ( 'sn' 'surname' ) EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
    "( 2.5.4.42 NAME ( 'givenName' 'gn' ) EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
    "( 2.16.840.1.113730.3.1.241 NAME 'displayName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
    "( 0.9.2342.19200300.100.1.3 NAME ( 'mail' 'rfc822Mailbox' ) EQUALITY caseIgnoreIA5Match"
    " SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )",
    "( 2.5.4.36 NAME 'userCertificate' EQUALITY certificateExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.8 )",
    "( 2.16.840.1.113730.3.1.40 NAME 'userSMIMECertificate' SYNTAX 1.3.6.1.4.1.1466.115.121.1.5 )",
    "( 2.5.18.2 NAME 'modifyTimestamp' EQUALITY generalizedTimeMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.24 SINGLE-VALUE"
    " NO-USER-MODIFICATION USAGE directoryOperation )",
    "( 2.5.4.10 NAME ( 'o' 'organizationName' ) EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
)
_TEXT, _LETTERS, _NAME = "15", "26", "12"  # the last number of a syntax: RFC 4517 3.3
# GnuPG's schema (doc/ldap in its sources); clients that check names against the schema ask for nothing else.
_PGP = "1.3.6.1.4.1.3401.8.2."
_GPG = "1.3.6.1.4.1.11591.2.4.1."
_PGP_TYPES = tuple(
    f"( {number} NAME '{name}' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.{syntax}{many} )"
    for number, name, syntax, many in (
        (_PGP + "8", "pgpBaseKeySpaceDN", _NAME, " SINGLE-VALUE"),
        (_PGP + "9", "pgpSoftware", _TEXT, " SINGLE-VALUE"),
        (_PGP + "10", "pgpVersion", _TEXT, " SINGLE-VALUE"),
        (_PGP + "11", "pgpKey", _LETTERS, " SINGLE-VALUE"),
        (_PGP + "12", "pgpCertID", _TEXT, " SINGLE-VALUE"),
        (_PGP + "13", "pgpDisabled", _TEXT, " SINGLE-VALUE"),
        (_PGP + "14", "pgpKeyID", _TEXT, " SINGLE-VALUE"),
        (_PGP + "15", "pgpKeyType", _TEXT, " SINGLE-VALUE"),
        (_PGP + "16", "pgpUserID", _TEXT, ""),
        (_PGP + "17", "pgpKeyCreateTime", _TEXT, " SINGLE-VALUE"),
        (_PGP + "19", "pgpRevoked", _TEXT, " SINGLE-VALUE"),
        (_PGP + "20", "pgpSubKeyID", _TEXT, ""),
        (_PGP + "21", "pgpKeySize", _TEXT, " SINGLE-VALUE"),
        (_PGP + "22", "pgpKeyExpireTime", _TEXT, " SINGLE-VALUE"),
        (_GPG + "1", "gpgFingerprint", _TEXT, " SINGLE-VALUE"),
        (_GPG + "2", "gpgSubFingerprint", _TEXT, ""),
        (_GPG + "3", "gpgMailbox", _TEXT, ""),
    )
)
_CLASSES = (
    "( 2.5.6.0 NAME 'top' ABSTRACT MUST objectClass )",
    "( 2.5.6.4 NAME 'organization' SUP top STRUCTURAL MUST o )",
    "( 2.5.6.6 NAME 'person' SUP top STRUCTURAL MUST ( sn $ cn ) )",
    "( 2.5.6.7 NAME 'organizationalPerson' SUP person STRUCTURAL )",
    "( 2.16.840.1.113730.3.2.2 NAME 'inetOrgPerson' SUP organizationalPerson STRUCTURAL MAY ( displayName $ givenName"
    " $ mail $ userCertificate $ userSMIMECertificate ) )",
    f"( {_PGP}23 NAME 'pgpServerInfo' SUP top STRUCTURAL MUST ( cn $ pgpBaseKeySpaceDN ) MAY ( pgpSoftware $ pgpVersion"
    " ) )",
    f"( {_PGP}24 NAME 'pgpKeyInfo' SUP top STRUCTURAL MUST ( pgpCertID $ pgpKey ) MAY ( pgpDisabled $ pgpKeyID"
    " $ pgpKeyType $ pgpUserID $ pgpKeyCreateTime $ pgpRevoked $ pgpSubKeyID $ pgpKeySize $ pgpKeyExpireTime"
    " $ gpgFingerprint $ gpgSubFingerprint $ gpgMailbox ) )",
)


@attrs.frozen
class Self:
    """The entries about the server itself, for one base and with or without StartTLS."""

    base: str
    start_tls: bool

    def find(self, name: str) -> Described | None:
        """The entry with this name, or None."""
        plain = ",".join(part.strip() for part in name.lower().split(","))
        if plain == "":
            return self.root()
        if plain == SCHEMA:
            return self.schema()
        if plain == self.base.lower():
            return self.context()
        first, _, rest = plain.partition(",")
        return self.server_info(rest) if first == SERVER_INFO else None

    def root(self) -> Described:
        extensions = (START_TLS.encode(),) if self.start_tls else ()
        operational = {
            "namingContexts": (self.base.encode(),),
            "subschemaSubentry": (SCHEMA.encode(),),
            "supportedLDAPVersion": (b"3",),
            "supportedControl": tuple(kind.encode() for kind in sorted({PAGES, *HARMLESS})),
            "supportedExtension": extensions,
            # RFC 4512 5.1: + and attributes by class; none but + is obeyed, so only that is said (RFC 3673 2)
            "supportedFeatures": (b"1.3.6.1.4.1.4203.1.5.1",),
            "vendorName": (SOFTWARE.encode(),),
            "vendorVersion": (__version__.encode(),),
        }
        return Described(b"", {"objectClass": (b"top",)}, {name: all_ for name, all_ in operational.items() if all_})

    def schema(self) -> Described:
        operational = {
            "attributeTypes": tuple(each.encode() for each in (*_TYPES, *_PGP_TYPES)),
            "objectClasses": tuple(each.encode() for each in _CLASSES),
        }
        return Described(
            SCHEMA.encode(), {"objectClass": (b"top", b"subschema"), "cn": (b"subschema",)}, operational
        )

    def context(self) -> Described:
        name, _, value = self.base.partition(",")[0].partition("=")
        shown = {"objectClass": (b"top", b"organization"), name: (value.encode(),)}
        return Described(self.base.encode(), shown, {"subschemaSubentry": (SCHEMA.encode(),)})

    def server_info(self, rest: str) -> Described:
        """dirmngr takes a server for one of GnuPG's schema, with fingerprints and addresses, by these values."""
        base = rest or self.base
        shown = {
            "objectClass": (b"top", b"pgpServerInfo"),
            "cn": (b"pgpServerInfo",),
            "pgpBaseKeySpaceDN": (base.encode(),),
            "pgpSoftware": (b"GnuPG",),
            "pgpVersion": (b"2",),
        }
        return Described(f"cn=pgpServerInfo,{base}".encode(), shown)
