from base64 import b64decode

from scramp import ScramClient as OtherClient
from scramp import ScramMechanism
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.sasl import (
    Challenge,
    Done,
    LoginExchange,
    PasswordGiven,
    PlainExchange,
    Proved,
    SaslRefusedError,
    SaslSyntaxError,
    ScramClient,
    ScramExchange,
    VerifierWanted,
    check_password,
    fake_verifier,
    make_verifier,
    plain_initial_response,
    saslprep,
)
from smtpplus.values.errors import ProtocolError

SALT = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
EXPORTER = bytes(range(32))


def scram(
    *,
    nonce: str = "srv",
    exporter: bytes | None = None,
    plus: bool = False,
    plus_offered: bool = False,
) -> ScramExchange:
    return ScramExchange(nonce=nonce, exporter=exporter, plus=plus, plus_offered=plus_offered)


def challenge(step: object) -> bytes:
    assert isinstance(step, Challenge), step
    return step.octets


class ScramTests(SynchronousTestCase):
    def test_the_example_of_rfc_7677(self) -> None:
        verifier = make_verifier("pencil", SALT, 4096)
        exchange = scram(nonce="%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
        client = ScramClient("user", "pencil", nonce="rOprNGfwEbeRWgbNEkqO")
        self.assertEqual(client.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
        self.assertEqual(exchange.respond(client.first()), VerifierWanted("user", ""))
        first = exchange.use(verifier).octets
        self.assertEqual(
            first,
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        )
        final = client.final(first)
        self.assertEqual(
            final,
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        )
        proved = exchange.respond(final)
        assert isinstance(proved, Proved)
        self.assertEqual(proved.server_final, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        client.check(proved.server_final)
        self.assertEqual(exchange.respond(b""), Done())

    def test_against_another_client(self) -> None:
        for password in ("secret", "p\u00e4ss w\u00f6rd", "a,b=c", "I\u00adX"):
            verifier = make_verifier(password, SALT)
            other = OtherClient(["SCRAM-SHA-256"], "us,e=r", password)
            exchange = scram()
            wanted = exchange.respond(other.get_client_first().encode())
            self.assertEqual(wanted, VerifierWanted("us,e=r", ""))
            other.set_server_first(exchange.use(verifier).octets.decode())
            proved = exchange.respond(other.get_client_final().encode())
            assert isinstance(proved, Proved)
            other.set_server_final(proved.server_final.decode())

    def test_against_another_server(self) -> None:
        mechanism = ScramMechanism("SCRAM-SHA-256")
        auth = mechanism.make_auth_info("secret", iteration_count=4096)
        server = mechanism.make_server(lambda _: auth)
        client = ScramClient("us,e=r", "secret", nonce="abc")
        server.set_client_first(client.first().decode())
        server.set_client_final(client.final(server.get_server_first().encode()).decode())
        client.check(server.get_server_final().encode())

    def test_plus_binds_the_channel(self) -> None:
        verifier = make_verifier("secret", SALT)
        for theirs, fits in ((EXPORTER, True), (bytes(32), False)):
            exchange = scram(exporter=EXPORTER, plus=True, plus_offered=True)
            client = ScramClient("user", "secret", nonce="abc", exporter=theirs, plus=True)
            self.assertEqual(client.mechanism, "SCRAM-SHA-256-PLUS")
            exchange.respond(client.first())
            final = client.final(exchange.use(verifier).octets)
            if fits:
                self.assertIsInstance(exchange.respond(final), Proved)
            else:
                with self.assertRaises(SaslRefusedError):
                    exchange.respond(final)

    def test_plus_taken_away_is_noticed(self) -> None:
        client = ScramClient("user", "secret", nonce="abc", exporter=EXPORTER)
        self.assertTrue(client.first().startswith(b"y,,"))
        with self.assertRaises(SaslRefusedError):
            scram(exporter=EXPORTER, plus_offered=True).respond(client.first())
        self.assertIsInstance(scram().respond(client.first()), VerifierWanted)

    def test_A4_malformed_first_messages(self) -> None:
        for message in (
            b"",
            b"n",
            b"n,,",
            b"n,,n=,r=a",
            b"n,,n=u",
            b"n,,n=u,r=",
            b"n,,n=u,r=a b",
            b"n,,r=a,n=u",
            b"n,,m=x,n=u,r=a",
            b"n,,n=u=,r=a",
            b"n,,n=u=2c,r=a",
            b"x,,n=u,r=a",
            b"p=,,n=u,r=a",
            b"p=tls-exporter,,n=u,r=a",
            b"n,b=x,n=u,r=a",
            b"n,,n=\xff,r=a",
            b"\0",
            b"n,,n=u,r=a," * 700,
        ):
            with self.assertRaises(SaslSyntaxError, msg=repr(message)):
                scram().respond(message)
        for message in (b"n,,n=u,r=a", b"p=tls-unique,,n=u,r=a", b"y,,n=u,r=a"):
            with self.assertRaises(SaslSyntaxError, msg=repr(message)):
                scram(exporter=EXPORTER, plus=True, plus_offered=True).respond(message)
        for message in (b"n,,n=a\xe2\x80\xaeb,r=a", b"n,a=other,n=u,r=a"):
            with self.assertRaises(SaslRefusedError, msg=repr(message)):
                scram().respond(message)

    def test_A4_malformed_final_messages(self) -> None:
        verifier = make_verifier("secret", SALT)
        for message, error in (
            (b"", SaslSyntaxError),
            (b"c=biws,r=abcsrv", SaslSyntaxError),
            (b"c=biws,r=abcsrv,p=", SaslSyntaxError),
            (b"c=biws,r=abcsrv,p=AAAA", SaslSyntaxError),
            (b"c=biws,r=abcsrv,p=A" + b"A" * 43, SaslSyntaxError),
            (b"c=b*ws,r=abcsrv,p=" + b"A" * 43 + b"=", SaslSyntaxError),
            (b"c=biws,r=abcsrv,p=" + b"A" * 43 + b"=", SaslRefusedError),
            (b"c=biws,r=abc,p=" + b"A" * 43 + b"=", SaslRefusedError),
            (b"c=eSws,r=abcsrv,p=" + b"A" * 43 + b"=", SaslRefusedError),
            (b"\xff", SaslSyntaxError),
        ):
            exchange = scram()
            exchange.respond(b"n,,n=user,r=abc")
            exchange.use(verifier)
            with self.assertRaises(error, msg=repr(message)):
                exchange.respond(message)

    def test_SA3_nobody_fits_a_fake_verifier(self) -> None:
        fake = fake_verifier("nobody", b"key")
        self.assertEqual(fake, fake_verifier("NOBODY", b"key"))
        self.assertNotEqual(fake, fake_verifier("nobody", b"other key"))
        self.assertNotEqual(fake.salt, fake_verifier("somebody", b"key").salt)
        real = make_verifier("secret", SALT)
        self.assertEqual(
            (len(fake.salt), fake.iterations, len(fake.stored_key), len(fake.server_key)),
            (len(real.salt), real.iterations, len(real.stored_key), len(real.server_key)),
        )
        self.assertFalse(check_password(fake, "secret"))
        exchange = scram()
        client = ScramClient("nobody", "secret", nonce="abc")
        exchange.respond(client.first())
        with self.assertRaises(SaslRefusedError):
            exchange.respond(client.final(exchange.use(fake).octets))

    def test_check_password(self) -> None:
        verifier = make_verifier("s\u00e9cret", SALT)
        self.assertTrue(check_password(verifier, "s\u00e9cret"))
        self.assertTrue(check_password(verifier, "se\u0301cret"))  # the same after SASLprep
        for wrong in ("", "secret", "s\u00e9cret ", "\u202e", "s\u00e9cre"):
            self.assertFalse(check_password(verifier, wrong))
        self.assertFalse(check_password(make_verifier("", SALT), ""))

    def test_a_server_that_lies(self) -> None:
        for first in (
            b"",
            b"r=abcsrv,s=AAAA,i=1",
            b"r=abcsrv,s=AAAA,i=99999999",
            b"r=xyz,s=AAAA,i=4096",
            b"r=abc,s=AAAA,i=4096",
            b"r=abcsrv,s=A,i=4096",
            b"e=other-error",
            b"\xff",
        ):
            with self.assertRaises(ProtocolError, msg=repr(first)):
                ScramClient("user", "secret", nonce="abc").final(first)
        client = ScramClient("user", "secret", nonce="abc")
        with self.assertRaises(ProtocolError):
            client.check(b"v=")
        client.final(b"r=abcsrv,s=AAAA,i=4096")
        for final in (b"", b"v=", b"v=AAAA", b"e=invalid-proof"):
            with self.assertRaises(ProtocolError):
                client.check(final)

    def test_plus_needs_octets(self) -> None:
        with self.assertRaises(ValueError):
            ScramClient("user", "secret", nonce="abc", plus=True)


class PlainAndLoginTests(SynchronousTestCase):
    def test_plain(self) -> None:
        self.assertEqual(PlainExchange().respond(None), Challenge(b""))
        for response, expected in (
            (b"\0user\0secret", PasswordGiven("user", "secret", "")),
            (b"user\0user\0secret", PasswordGiven("user", "secret", "user")),
            ("\0\u00fcser\0s\u00e9cret".encode(), PasswordGiven("\u00fcser", "s\u00e9cret", "")),
            (plain_initial_response("user", "x y"), PasswordGiven("user", "x y", "")),
        ):
            self.assertEqual(PlainExchange().respond(response), expected)

    def test_A4_plain_refused(self) -> None:
        for response in (
            b"",
            b"\0",
            b"\0\0",
            b"\0user\0",
            b"\0\0secret",
            b"user\0secret",
            b"\0user\0secret\0",
            b"\0us\xffer\0secret",
            b"\0\xc2\xad\0secret",
        ):
            with self.assertRaises(SaslSyntaxError, msg=repr(response)):
                PlainExchange().respond(response)
        for response in (b"other\0user\0secret", b"\0us\ner\0secret", b"\0user\0\xe2\x80\xae"):
            with self.assertRaises(SaslRefusedError, msg=repr(response)):
                PlainExchange().respond(response)

    def test_login(self) -> None:
        exchange = LoginExchange()
        self.assertEqual(challenge(exchange.respond(None)), b"Username:")
        self.assertEqual(challenge(exchange.respond(b"user")), b"Password:")
        self.assertEqual(exchange.respond(b"secret"), PasswordGiven("user", "secret"))

    def test_A4_login_refused(self) -> None:
        for response in (b"", b"\0", b"us\0er", b"\xff"):
            with self.assertRaises(SaslSyntaxError):
                LoginExchange().respond(response)
        exchange = LoginExchange()
        exchange.respond(b"user")
        with self.assertRaises(SaslSyntaxError):
            exchange.respond(b"")

    def test_secrets_are_not_shown(self) -> None:
        self.assertNotIn("secret", repr(PasswordGiven("user", "secret")))


class SaslprepTests(SynchronousTestCase):
    def test_the_examples_of_rfc_4013(self) -> None:
        for text, prepared in (
            ("I\u00adX", "IX"),
            ("user", "user"),
            ("USER", "USER"),
            ("\u00aa", "a"),
            ("\u2168", "IX"),
            ("a\u00a0b", "a b"),
        ):
            self.assertEqual(saslprep(text), prepared)
        for text in ("\u0007", "\u0627\u0031", "\ud800", "\u202e", "\ufffd", "\ue000"):
            with self.assertRaises(ValueError):
                saslprep(text)
