"""The placements of docs/placements.rst, each with real Postfix servers around a running gateway: both directions.

The world's MX records are stood in for by routes, since on the loopback every server has a port of its own.
"""

from __future__ import annotations

import contextlib
import smtplib
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.support.certificates import Pair, TestAuthority
from tests.support.mails import STRANGER, mail
from tests.support.placements import Tables, first, passwords, tables, to
from tests.support.ports import free_port
from tests.support.postfix import Postfix, postfix, write_old
from tests.support.running import Gateway, admin, prepare, securegw

ANN, BOB = "ann@inside.test", "bob@outside.test"
EDGE = "postfix.test"  # the name by which every Postfix here calls itself
GATEWAY = "gw.inside.test"
CARRIER = "secure-email.html"

pytestmark = pytest.mark.usefixtures("postfix_here")


@attrs.frozen
class Place:
    """The two ends of a placement, with the gateway somewhere in between."""

    inside: Postfix
    outside: Postfix
    gateway: Gateway

    def out(self, subject: str) -> Message:
        """What Bob gets of a mail that Ann's server sends."""
        self.inside.sendmail(ANN, [BOB], mail(ANN, BOB, subject, f"text of {subject}"))
        return arrived(self.outside, BOB, subject)

    def back(self, subject: str) -> Message:
        """What Ann gets of a mail that Bob's server sends."""
        self.outside.sendmail(BOB, [ANN], mail(BOB, ANN, subject, f"text of {subject}"))
        return arrived(self.inside, ANN, subject)

    def sealed(self, subject: str) -> Message:
        """What Bob gets of a mail that must be protected."""
        self.inside.sendmail(ANN, [BOB], mail(ANN, BOB, subject, "marker-881 is secret"))
        return first(self.outside, BOB, is_sealed)


def arrived(server: Postfix, box: str, subject: str) -> Message:
    return first(server, box, lambda mail: mail["Subject"] == subject)


def is_sealed(message: Message) -> bool:
    return any(part.get_filename() == CARRIER for part in message.walk())


def passed(message: Message) -> list[str]:
    """By whom the mail was taken over, first to last."""
    fields = [" ".join(str(field).split()) for field in reversed(message.get_all("Received", []))]
    return [field.partition("by ")[2].split(" ")[0] for field in fields if " with " in field]


def assert_both_directions(place: Place, way_out: list[str], way_in: list[str]) -> None:
    """Mail arrives with its text, over exactly these servers."""
    out, back = place.out("outgoing"), place.back("incoming")
    assert (str(out.get_payload()).strip(), passed(out)) == ("text of outgoing", way_out)
    assert (str(back.get_payload()).strip(), passed(back)) == ("text of incoming", way_in)


def assert_nobody_relays(place: Place, through: Postfix) -> None:
    """A stranger who claims to be Ann, over the way of strangers, gets no carrier made in her name."""
    forged = mail(ANN, ANN, "[confidential] forged", "send this as Ann")
    through.sendmail(ANN, [ANN], forged)
    first(place.inside, ANN, lambda mail: "forged" in str(mail["Subject"]))
    assert not any(map(is_sealed, place.inside.mails(ANN)))


@contextlib.contextmanager
def started(gateway: Gateway) -> Iterator[Gateway]:
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop()


def lead(gateway: Gateway, *, home: int, world: int) -> None:
    """The commands of the document, with ports of the loopback."""
    admin(gateway.config, "domains", "set", "inside.test", "--route", f"[127.0.0.1]:{home}")
    admin(gateway.config, "routes", "set", "*", f"[127.0.0.1]:{world}")


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Tables]:
    with tables() as made:
        yield made


def test_1_through_an_existing_gateway_both_ways(tmp_path: Path, town: Tables) -> None:
    gateway = prepare(tmp_path, inside=1, outside=1)
    with (
        postfix([ANN], relayhost=f"[127.0.0.1]:{gateway.smtp_port}") as inside,
        postfix(transport_maps=town.transport("edge"), smtp_bind_address=STRANGER) as edge,
        postfix([BOB], relayhost=f"[127.0.0.1]:{edge.port}") as outside,
    ):
        town.lead("edge", {"inside.test": to(gateway.smtp_port), "outside.test": to(outside.port)})
        lead(gateway, home=inside.port, world=edge.port)
        with started(gateway):
            place = Place(inside, outside, gateway)
            assert_both_directions(place, [GATEWAY, EDGE, EDGE], [EDGE, GATEWAY, EDGE])
            assert passed(place.sealed("[confidential] plan"))[-2:] == [EDGE, EDGE]
            assert_nobody_relays(place, outside)


def test_2_incoming_through_an_existing_gateway_outgoing_directly(tmp_path: Path, town: Tables) -> None:
    gateway = prepare(tmp_path, inside=1, outside=1)
    with (
        postfix([ANN], relayhost=f"[127.0.0.1]:{gateway.smtp_port}") as inside,
        postfix(transport_maps=town.transport("edge"), smtp_bind_address=STRANGER) as edge,
        postfix([BOB], relayhost=f"[127.0.0.1]:{edge.port}") as outside,
    ):
        town.lead("edge", {"inside.test": to(gateway.smtp_port)})
        lead(gateway, home=inside.port, world=outside.port)
        with started(gateway):
            place = Place(inside, outside, gateway)
            assert_both_directions(place, [GATEWAY, EDGE], [EDGE, GATEWAY, EDGE])
            assert passed(place.sealed("[confidential] plan"))[-1:] == [EDGE]
            assert_nobody_relays(place, outside)


def test_3_the_gateway_alone(tmp_path: Path) -> None:
    gateway = prepare(tmp_path, inside=1, outside=1)
    to_gateway = f"[127.0.0.1]:{gateway.smtp_port}"
    (tmp_path / "addresses.txt").write_text(f"{ANN}\n")
    with (
        postfix([ANN], relayhost=to_gateway) as inside,
        postfix([BOB], relayhost=to_gateway, smtp_bind_address=STRANGER) as outside,
    ):
        lead(gateway, home=inside.port, world=outside.port)
        admin(gateway.config, "recipients", "import", str(tmp_path / "addresses.txt"), "--replace")
        admin(gateway.config, "domains", "set", "inside.test", "--recipients", "list")
        with started(gateway):
            place = Place(inside, outside, gateway)
            assert_both_directions(place, [GATEWAY, EDGE], [GATEWAY, EDGE])
            place.sealed("[confidential] plan")
            assert_nobody_relays(place, outside)
            assert "550 5.1.1" in refused(outside, "nobody@inside.test")


def refused(outside: Postfix, nobody: str) -> str:
    """What Bob's own server tells him of a recipient whom the gateway has refused at the door."""
    outside.sendmail(BOB, [nobody], mail(BOB, nobody, "lost", "to nobody"))
    notice = first(outside, BOB, is_notice)
    assert EDGE in str(notice["From"])
    return " ".join(notice.as_string().split())


def is_notice(message: Message) -> bool:
    return message.get_content_type() == "multipart/report"


def test_4_only_chosen_mail(tmp_path: Path, town: Tables) -> None:
    gateway = prepare(tmp_path, inside=1, outside=1)
    ours, back = free_port(), free_port()
    doors = town.choosing(ours=ours, back=back)
    choosing = {"header_checks": f"regexp:{town.folder}/chosen-in", "nested_header_checks": ""}
    town.choose(gateway.smtp_port)
    with (
        postfix(transport_maps=town.transport("edge"), services=doors, **choosing) as edge,
        postfix([ANN], relayhost=f"[127.0.0.1]:{ours}") as inside,
        postfix([BOB], relayhost=f"[127.0.0.1]:{edge.port}") as outside,
    ):
        town.lead("edge", {"inside.test": to(inside.port), "outside.test": to(outside.port)})
        lead(gateway, home=back, world=back)
        with started(gateway):
            place = Place(inside, outside, gateway)
            assert_both_directions(place, [EDGE, EDGE], [EDGE, EDGE])
            assert passed(place.sealed("[confidential] plan"))[-2:] == [EDGE, EDGE]
            outside.sendmail(BOB, [ANN], signed(BOB, ANN, "a signature"))
            got = first(inside, ANN, lambda mail: "a signature" in str(mail["Subject"]))
            assert passed(got) == [EDGE, GATEWAY, EDGE, EDGE]
            assert got["X-Securegw-Verdict"] is not None


def signed(sender: str, recipient: str, subject: str) -> bytes:
    """A mail that says it is signed; whether the signature is good does not matter to who chooses by the header."""
    part = "Content-Type: text/plain\r\n\r\nhello\r\n"
    signature = "Content-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\nMAA=\r\n"
    return (
        f"From: {sender}\r\nTo: {recipient}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary=b\r\n\r\n'
        f"--b\r\n{part}\r\n--b\r\n{signature}\r\n--b--\r\n"
    ).encode()


NAME, PASSWORD = "gw@inside.test", "Öffne dich, bitte sehr"
RELAY = "relay.inside.test"


def test_5_a_cloud_in_front_whose_smarthost_demands_tls_and_a_password(tmp_path: Path, town: Tables) -> None:
    gateway = prepare(tmp_path, inside=1, outside=1)
    authority, front = TestAuthority(town.folder), free_port()
    gateway.config.write_text(vouching(gateway.config.read_text(), authority))
    client, server = authority.issue(RELAY, file="client"), authority.issue("smarthost.test", file="smarthost")
    with (
        passwords(town.folder, NAME, PASSWORD) as socket,
        postfix(transport_maps=town.transport("smarthost"), **demanding(server, socket)) as smarthost,
        postfix([ANN], services=incoming(front, gateway), **outgoing(client, gateway)) as cloud,
        postfix([BOB], relayhost=f"[127.0.0.1]:{front}") as outside,
    ):
        town.lead("smarthost", {"outside.test": to(outside.port)})
        lead(gateway, home=cloud.port, world=smarthost.port)
        sign_in(gateway, smarthost, server, tmp_path / "relay.password")
        with started(gateway):
            place = Place(cloud, outside, gateway)
            assert_both_directions(place, [GATEWAY, EDGE, EDGE], [EDGE, GATEWAY, EDGE])
            assert_signed_in(place.out("signed in"))
            place.sealed("[confidential] plan")
            assert_nobody_relays(place, outside)


def vouching(configuration: str, authority: TestAuthority) -> str:
    """The settings of the document: no network may relay, but who shows the relay's certificate."""
    own = f'relay_networks = []\nrelay_certificates = ["{RELAY}"]'
    assert 'relay_networks = ["127.0.0.1/32"]' in configuration
    configuration = configuration.replace('relay_networks = ["127.0.0.1/32"]', own)
    return configuration.replace("[smtp]\n", f'[smtp]\nclient_authorities = "{authority.roots}"\n')


def demanding(server: Pair, socket: Path) -> dict[str, str]:
    """A smarthost that takes mail only under TLS and from who has signed in."""
    return {
        "smtpd_tls_security_level": "encrypt",
        "smtpd_tls_cert_file": str(server.certificate),
        "smtpd_tls_key_file": str(server.key),
        "smtpd_tls_received_header": "yes",
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_sasl_type": "dovecot",
        "smtpd_sasl_path": str(socket),
        "smtpd_tls_auth_only": "yes",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
    }


def outgoing(client: Pair, gateway: Gateway) -> dict[str, str]:
    """The cloud's connector for mail of our people, with the relay's certificate."""
    return {
        "relayhost": f"[127.0.0.1]:{gateway.smtp_port}",
        "smtp_tls_security_level": "encrypt",
        "smtp_tls_cert_file": str(client.certificate),
        "smtp_tls_key_file": str(client.key),
    }


def incoming(front: int, gateway: Gateway) -> str:
    """The cloud's door for the world, which hands everything to the gateway and shows no certificate."""
    way = to(gateway.smtp_port, "gw-in")
    return (
        f"127.0.0.1:{front} inet n - n - - smtpd\n    -o content_filter={way}\n"
        "gw-in unix - - n - - smtp\n    -o smtp_tls_cert_file=\n    -o smtp_tls_key_file=\n"
    )


def sign_in(gateway: Gateway, smarthost: Postfix, server: Pair, file: Path) -> None:
    """The route of the document; the certificate is no public authority's, so it is named by its fingerprint."""
    file.write_text(f"{PASSWORD}\n")
    certificate = x509.load_pem_x509_certificate(server.certificate.read_bytes())
    believed = certificate.fingerprint(hashes.SHA256()).hex(":")
    words = ("--tls", "fingerprint", "--fingerprint", believed, "--login", NAME, "--password-file", str(file))
    admin(gateway.config, "routes", "set", "*", f"[127.0.0.1]:{smarthost.port}", *words)


def assert_signed_in(message: Message) -> None:
    fields = [" ".join(str(field).split()) for field in message.get_all("Received", [])]
    assert any(f"from {GATEWAY}" in field and "with ESMTPSA" in field for field in fields), fields


TENANT = "X-Tenant: 8f14e45fceea167a5a36dedd4bea2543"


def test_5_a_cloud_whose_connector_writes_a_secret_field(tmp_path: Path, town: Tables) -> None:
    """Everything comes from the one address that all customers of the cloud have."""
    gateway = prepare(tmp_path, inside=1, outside=1)
    front, field = free_port(), gateway.folder / "connector"
    field.write_text(f"{TENANT}\n")
    field.chmod(0o600)
    shared = f'relay_networks = []\nconnector_networks = ["127.0.0.1/32"]\nconnector_field = "{field}"'
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace('relay_networks = ["127.0.0.1/32"]', shared))
    write_old(town.folder / "connector", f"/^From:/ PREPEND {TENANT}\n")
    way = to(gateway.smtp_port, "gw-in")
    doors = (
        f"127.0.0.1:{front} inet n - n - - smtpd\n    -o content_filter={way}\n"
        "gw-in unix - - n - - smtp\n    -o smtp_header_checks=\n"
    )
    added = {"smtp_header_checks": f"regexp:{town.folder}/connector"}
    with (
        postfix([ANN], relayhost=f"[127.0.0.1]:{gateway.smtp_port}", services=doors, **added) as cloud,
        postfix([BOB], relayhost=f"[127.0.0.1]:{front}") as outside,
    ):
        lead(gateway, home=cloud.port, world=outside.port)
        with started(gateway):
            place = Place(cloud, outside, gateway)
            assert_both_directions(place, [GATEWAY, EDGE], [EDGE, GATEWAY, EDGE])
            place.sealed("[confidential] plan")
            assert_nobody_relays(place, outside)
            other_tenant = mail(ANN, BOB, "forged", "from the same address, without the field")
            with smtplib.SMTP("127.0.0.1", gateway.smtp_port, 30) as client, pytest.raises(smtplib.SMTPDataError) as no:
                client.sendmail(ANN, [BOB], other_tenant)
            assert no.value.smtp_code == 554
            assert not any("X-Tenant" in got for got in outside.mails(BOB))


def test_5_a_relay_of_our_own_signs_in_and_sends_for_its_domain_only(tmp_path: Path) -> None:
    gateway = prepare(tmp_path, inside=1, outside=1)
    words = ("logins", "add", "Relay", "--sender", "@inside.test", "--generate", "--config", str(gateway.config))
    password = securegw(*words).partition("password: ")[2].strip()
    with postfix([BOB]) as outside:
        lead(gateway, home=outside.port, world=outside.port)
        with started(gateway), smtplib.SMTP("127.0.0.1", gateway.smtp_port, 30, source_address=(STRANGER, 0)) as relay:
            relay.starttls()
            relay.login("relay", password)
            with pytest.raises(smtplib.SMTPSenderRefused):
                relay.sendmail("mallory@elsewhere.test", [BOB], mail(ANN, BOB, "forged", "not ours"))
            relay.sendmail(ANN, [BOB], mail(ANN, BOB, "by login", "ours"))
            got = first(outside, BOB, lambda mail: mail["Subject"] == "by login")
            assert "with ESMTPSA" in str(got)
            with pytest.raises(smtplib.SMTPAuthenticationError):
                again(gateway.smtp_port, "relay", password[::-1])


def again(port: int, name: str, password: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, 30, source_address=(STRANGER, 0)) as other:
        other.starttls()
        other.login(name, password)
