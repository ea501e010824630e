"""The object identifiers of CMS and S/MIME, encoded, so that reading and writing compare bytes.

Not what they mean: ``signatures``, ``key_transport``, ``key_agreement`` and ``content_ciphers`` hold the tables.
"""

from __future__ import annotations

from securegw.crypto.der import oid

# RFC 5652 4-8, RFC 5083 2.1, RFC 3274 1.1: kinds of content
DATA = oid("1.2.840.113549.1.7.1")
SIGNED_DATA = oid("1.2.840.113549.1.7.2")
ENVELOPED_DATA = oid("1.2.840.113549.1.7.3")
AUTH_ENVELOPED_DATA = oid("1.2.840.113549.1.9.16.1.23")
COMPRESSED_DATA = oid("1.2.840.113549.1.9.16.1.9")
ZLIB = oid("1.2.840.113549.1.9.16.3.8")

# RFC 5652 11, RFC 8551 2.5, RFC 5035 4, RFC 6211 2: signed attributes
CONTENT_TYPE = oid("1.2.840.113549.1.9.3")
MESSAGE_DIGEST = oid("1.2.840.113549.1.9.4")
SIGNING_TIME = oid("1.2.840.113549.1.9.5")
CAPABILITIES = oid("1.2.840.113549.1.9.15")
ALGORITHM_PROTECTION = oid("1.2.840.113549.1.9.52")
SIGNING_CERTIFICATE_V2 = oid("1.2.840.113549.1.9.16.2.47")

# RFC 5754, RFC 8419 2.3: digests
SHA1 = oid("1.3.14.3.2.26")
SHA256 = oid("2.16.840.1.101.3.4.2.1")
SHA384 = oid("2.16.840.1.101.3.4.2.2")
SHA512 = oid("2.16.840.1.101.3.4.2.3")
SHAKE256_512 = oid("2.16.840.1.101.3.4.2.18")

# RFC 8017, RFC 4055, RFC 5754, RFC 8410: keys and signatures
RSA = oid("1.2.840.113549.1.1.1")
RSA_OAEP = oid("1.2.840.113549.1.1.7")
MGF1 = oid("1.2.840.113549.1.1.8")
P_SPECIFIED = oid("1.2.840.113549.1.1.9")
RSA_PSS = oid("1.2.840.113549.1.1.10")
RSA_SHA256 = oid("1.2.840.113549.1.1.11")
RSA_SHA384 = oid("1.2.840.113549.1.1.12")
RSA_SHA512 = oid("1.2.840.113549.1.1.13")
EC_KEY = oid("1.2.840.10045.2.1")
ECDSA_SHA256 = oid("1.2.840.10045.4.3.2")
ECDSA_SHA384 = oid("1.2.840.10045.4.3.3")
ECDSA_SHA512 = oid("1.2.840.10045.4.3.4")
X25519 = oid("1.3.101.110")
X448 = oid("1.3.101.111")
ED25519 = oid("1.3.101.112")
ED448 = oid("1.3.101.113")

# RFC 3565, RFC 5084, RFC 8103, RFC 3370: ciphers and key wraps
AES128_CBC = oid("2.16.840.1.101.3.4.1.2")
AES192_CBC = oid("2.16.840.1.101.3.4.1.22")
AES256_CBC = oid("2.16.840.1.101.3.4.1.42")
AES128_GCM = oid("2.16.840.1.101.3.4.1.6")
AES192_GCM = oid("2.16.840.1.101.3.4.1.26")
AES256_GCM = oid("2.16.840.1.101.3.4.1.46")
CHACHA20_POLY1305 = oid("1.2.840.113549.1.9.16.3.18")
DES3_CBC = oid("1.2.840.113549.3.7")
AES128_WRAP = oid("2.16.840.1.101.3.4.1.5")
AES192_WRAP = oid("2.16.840.1.101.3.4.1.25")
AES256_WRAP = oid("2.16.840.1.101.3.4.1.45")

# RFC 5753 7.1.4: agreement on a key by elliptic curves, plain and with the cofactor
ECDH_SHA1 = oid("1.3.133.16.840.63.0.2")
ECDH_SHA256 = oid("1.3.132.1.11.1")
ECDH_SHA384 = oid("1.3.132.1.11.2")
ECDH_SHA512 = oid("1.3.132.1.11.3")
COFACTOR_SHA1 = oid("1.3.133.16.840.63.0.3")
COFACTOR_SHA256 = oid("1.3.132.1.14.1")
COFACTOR_SHA384 = oid("1.3.132.1.14.2")
COFACTOR_SHA512 = oid("1.3.132.1.14.3")
# RFC 8418 2.2: the same with HKDF
HKDF_SHA256 = oid("1.2.840.113549.1.9.16.3.19")
HKDF_SHA384 = oid("1.2.840.113549.1.9.16.3.20")
HKDF_SHA512 = oid("1.2.840.113549.1.9.16.3.21")
