"""TLS contexts, handshaking in memory."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.certificates import CertificateFiles, self_signed
from smtpplus.net.clock import ReactorClock
from smtpplus.net.tls import OutboundTls, ServerTls, channel_binding
from smtpplus.values.errors import ConfigError
from tests.folders import folder_of
from tests.net.wire import PlainClientTls

NOW = 1_800_000_000.0


def shake_hands(server: SSL.Connection, client: SSL.Connection) -> None:
    """Raises what the client's or the server's side of the handshake raises."""
    server.set_accept_state()
    client.set_connect_state()
    done: set[int] = set()
    for _ in range(10):
        for number, (one, other) in enumerate(((client, server), (server, client))):
            try:
                one.do_handshake()
                done.add(number)
            except SSL.WantReadError:
                pass
            with contextlib.suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(65_536))
        if len(done) == 2:
            return
    raise AssertionError("the handshake does not end")


class TlsTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = folder_of(self)
        folder.mkdir()
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        self._write("mail.example.com")
        self.reactor = Clock()
        files = CertificateFiles(self.certificate, self.key)
        self.tls = ServerTls(files, ReactorClock(self.reactor))

    def _write(self, hostname: str) -> None:
        certificate, key = self_signed(hostname, NOW)
        for path, octets in ((self.certificate, certificate), (self.key, key)):
            new = path.with_suffix(".new")
            new.write_bytes(octets)
            new.rename(path)

    def _server(self) -> SSL.Connection:
        return self.tls.serverConnectionForTLS(None)  # type: ignore[arg-type]

    def _client(self, client: PlainClientTls | None = None) -> SSL.Connection:
        return (client or PlainClientTls()).clientConnectionForTLS(None)

    def _name_shown(self) -> str:
        client = self._client()
        shake_hands(self._server(), client)
        shown = client.get_peer_certificate(as_cryptography=True)
        assert shown is not None
        return shown.subject.rfc4514_string()

    # ---- T6: what a scanner would look for

    def test_T6_versions(self) -> None:
        for version, name in ((SSL.TLS1_2_VERSION, "TLSv1.2"), (SSL.TLS1_3_VERSION, "TLSv1.3")):
            plain = PlainClientTls()
            plain.context.set_max_proto_version(version)
            client = self._client(plain)
            shake_hands(self._server(), client)
            self.assertEqual(client.get_protocol_version_name(), name)
        for version in (SSL.TLS1_VERSION, SSL.TLS1_1_VERSION):
            plain = PlainClientTls()
            plain.context.set_cipher_list(b"ALL:@SECLEVEL=0")
            plain.context.set_min_proto_version(version)
            plain.context.set_max_proto_version(version)
            with self.assertRaises(SSL.Error):
                shake_hands(self._server(), self._client(plain))

    def test_T6_weak_ciphers_are_refused(self) -> None:
        weak = ("ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "AES128-GCM-SHA256")
        for ciphers in (*weak, "AES128-SHA", "DHE-RSA-AES128-GCM-SHA256"):
            plain = PlainClientTls()
            plain.context.set_max_proto_version(SSL.TLS1_2_VERSION)
            plain.context.set_cipher_list(f"{ciphers}:@SECLEVEL=0".encode())
            with self.assertRaises(SSL.Error, msg=ciphers):
                shake_hands(self._server(), self._client(plain))

    def test_T6_no_renegotiation(self) -> None:
        plain = PlainClientTls()
        plain.context.set_max_proto_version(SSL.TLS1_2_VERSION)
        client, server = self._client(plain), self._server()
        shake_hands(server, client)
        client.renegotiate()
        with self.assertRaises(SSL.WantReadError):
            client.do_handshake()
        server.bio_write(client.bio_read(65_536))
        with self.assertRaises(SSL.WantReadError):
            server.recv(100)
        client.bio_write(server.bio_read(65_536))
        with self.assertRaises(SSL.Error) as refused:
            client.do_handshake()
        self.assertIn("no renegotiation", str(refused.exception))

    def test_the_channel_binding_is_the_same_on_both_sides(self) -> None:
        client, server = self._client(), self._server()
        shake_hands(server, client)
        binding = channel_binding(server)
        assert binding is not None
        self.assertEqual(len(binding), 32)
        self.assertEqual(binding, channel_binding(client))

    def test_below_tls_1_3_there_is_no_binding(self) -> None:
        plain = PlainClientTls()
        plain.context.set_max_proto_version(SSL.TLS1_2_VERSION)
        client, server = self._client(plain), self._server()
        shake_hands(server, client)
        self.assertIsNone(channel_binding(server))

    # ---- T8

    def test_T8_replaced_files_are_used_at_the_next_handshake(self) -> None:
        self.assertEqual(self._name_shown(), "CN=mail.example.com")
        self._write("new.example.com")
        self.assertEqual(self._name_shown(), "CN=mail.example.com")  # looked at a moment ago
        self.reactor.advance(5)
        self.assertEqual(self._name_shown(), "CN=new.example.com")

    def test_T8_also_without_handshakes(self) -> None:
        self.tls.start()
        before = self.tls.not_after
        certificate, key = self_signed("late.example.com", NOW + 86_400)
        self.certificate.write_bytes(certificate)
        self.key.write_bytes(key)
        for _ in range(60):
            self.reactor.advance(1)
        self.assertEqual(self.tls.not_after, before + 86_400)
        self.tls.stop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_T8_a_session_goes_on(self) -> None:
        client, server = self._client(), self._server()
        shake_hands(server, client)
        self._write("new.example.com")
        self.reactor.advance(10)
        self._server()
        client.send(b"still here")
        server.bio_write(client.bio_read(65_536))
        self.assertEqual(server.recv(100), b"still here")

    def test_T8_a_broken_pair_is_not_used(self) -> None:
        for break_it in (
            lambda: self.key.write_bytes(self_signed("x", NOW)[1]),
            lambda: self.certificate.write_text("half a certifi"),
            lambda: os.remove(self.certificate),  # noqa: PTH107 - a lambda
        ):
            break_it()
            self.reactor.advance(6)
            self.assertEqual(self._name_shown(), "CN=mail.example.com")
        self._write("good.example.com")
        self.reactor.advance(6)
        self.assertEqual(self._name_shown(), "CN=good.example.com")

    def test_at_the_start_a_broken_pair_is_an_error(self) -> None:
        clock = ReactorClock(self.reactor)
        self.key.write_bytes(self_signed("other", NOW)[1])
        with self.assertRaises(ConfigError) as caught:
            ServerTls(CertificateFiles(self.certificate, self.key), clock)
        self.assertIn("does not belong", str(caught.exception))
        with self.assertRaises(ConfigError) as caught:
            ServerTls(CertificateFiles(self.certificate, Path("/nowhere/key.pem")), clock)
        self.assertIn("/nowhere/key.pem cannot be read", str(caught.exception))

    # ---- outbound

    def _facts(self, trusted: str | None, name: str) -> object:
        outbound = OutboundTls(trusted)
        client = outbound.wrap(name).clientConnectionForTLS(None)  # type: ignore[arg-type]
        server = self._server()
        shake_hands(server, client)
        self.sni = server.get_servername()
        return outbound.facts(client, name)

    def test_outbound_facts_of_a_stranger(self) -> None:
        facts = self._facts(None, "mail.example.com")
        self.assertEqual(self.sni, b"mail.example.com")
        self.assertEqual(
            (facts.version, facts.trusted, facts.peer_name_ok),  # type: ignore[attr-defined]
            ("TLSv1.3", False, True),
        )
        self.assertEqual(facts.subject, "CN=mail.example.com")  # type: ignore[attr-defined]
        self.assertEqual(len(facts.fingerprint_sha256), 64)  # type: ignore[attr-defined]
        self.assertTrue(facts.not_after.startswith("2029-"))  # type: ignore[attr-defined]

    def test_outbound_facts_of_somebody_trusted(self) -> None:
        certificate, key = self_signed("mail.example.com", time.time())
        self.certificate.write_bytes(certificate)
        self.key.write_bytes(key)
        self.reactor.advance(6)
        facts = self._facts(str(self.certificate), "mail.example.com.")
        self.assertEqual((facts.trusted, facts.peer_name_ok), (True, True))  # type: ignore[attr-defined]
        facts = self._facts(str(self.certificate), "other.example.com")
        self.assertEqual((facts.trusted, facts.peer_name_ok), (True, False))  # type: ignore[attr-defined]

    def test_outbound_to_an_address_sends_no_name(self) -> None:
        facts = self._facts(None, "127.0.0.1")
        self.assertIsNone(self.sni)
        self.assertTrue(facts.peer_name_ok)  # type: ignore[attr-defined]
