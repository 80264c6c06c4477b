from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.config import (
    Config,
    Endpoint,
    Network,
    Period,
    effective,
    find_file,
    load,
    of_values,
)
from smtpplus.config.kinds import HostName, NameServer
from smtpplus.net.certificates import self_signed
from smtpplus.values.errors import ConfigError
from tests.folders import folder_of


class _Folder(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = folder_of(self)
        self.folder.mkdir()
        self.path = self.folder / "smtpplus.toml"

    def read(self, text: str, *settings: str) -> Config:
        self.path.write_text(text or "[submission]\nlisten_tls = []\n")
        return load(self.path, settings)

    def fault(self, text: str, *settings: str) -> str:
        return str(self.assertRaises(ConfigError, self.read, text, *settings))


class ValuesTests(_Folder):
    def test_defaults(self) -> None:
        config = self.read("")
        self.assertEqual(config.submission.listen, ("0.0.0.0:587",))
        self.assertEqual(config.submission.max_message_bytes, 31457280)
        self.assertEqual(config.relay.lifetime.seconds, 5 * 86400)
        self.assertEqual(config.server.data_dir, self.folder / "smtpplus-data")
        self.assertEqual(
            config.store_url, f"sqlite:///{self.folder}/smtpplus-data/queue/smtpplus.sqlite3"
        )
        self.assertEqual(config.public_url, "http://127.0.0.1:8025")

    def test_what_is_in_effect_can_be_told_to_another_process(self) -> None:
        text = (
            '[submission]\nlisten_tls = []\nproxy_from = ["10.0.0.0/8"]\n[relay]\n'
            'routes = {"a.example" = "127.0.0.1:25", "*" = "[::1]:26"}\nretry = ["1m", "5 m"]\n'
            'sources = {a = {ip = "127.0.0.2"}, b = {ip = "::1", ehlo = "x.example"}}\n'
            'pools = {default = ["a"], other = ["b"]}\n[dns]\nnameservers = ["9.9.9.9"]\n'
        )
        config = self.read(text, "log.level=debug", "server.processes=2")
        told = msgspec.json.decode(msgspec.json.encode(effective(config)))
        self.assertEqual(of_values(told, self.path), config)

    def test_relative_paths_start_at_the_file(self) -> None:
        config = self.read('[server]\ndata_dir = "."\n[submission]\nlisten_tls = []\n')
        self.assertEqual(config.server.data_dir, self.folder)

    def test_kinds(self) -> None:
        config = self.read(
            '[submission]\nlisten = ["[::1]:0", "127.0.0.1:2587"]\nlisten_tls = []\n'
            'proxy_from = ["192.0.2.1"]\n[relay]\nretry = ["90s", "4 h"]\n'
            'routes = {"example.net" = "127.0.0.1:2526"}\n[dns]\nnameservers = ["[::1]", "9.9.9.9:54"]\n'
        )
        first, second = config.submission.listen
        self.assertEqual((first.host, first.port, first.is_loopback), ("::1", 0, True))
        self.assertEqual((second.host, second.port), ("127.0.0.1", 2587))
        self.assertEqual(config.submission.proxy_from, ("192.0.2.1/32",))
        self.assertEqual([wait.seconds for wait in config.relay.retry], [90.0, 14400.0])
        self.assertEqual(config.relay.routes["example.net"].port, 2526)
        self.assertEqual(config.dns.nameservers, ("[::1]:53", "9.9.9.9:54"))

    def test_malformed_kinds_say_what_was_expected(self) -> None:
        for kind, text in (
            (Endpoint, "127.0.0.1"),
            (Endpoint, "::1:25"),
            (Endpoint, "[::1"),
            (Endpoint, "127.0.0.1:65536"),
            (Endpoint, "127.0.0.1:²"),
            (Endpoint, "a b:25"),
            (Endpoint, ":25"),
            (NameServer, "[1.2.3.4]:53"),
            (NameServer, "dns.example"),
            (NameServer, "9.9.9.9:0"),
            (Period, "5"),
            (Period, "0s"),
            (Period, "99999999999d"),
            (Network, "192.0.2.1/24"),
            (HostName, "exa mple"),
            (HostName, ""),
        ):
            self.assertRaises(ValueError, kind.read, text)

    def test_every_key_is_described(self) -> None:
        for section in msgspec.structs.fields(Config):
            if section.name == "file":
                continue
            for key in msgspec.structs.fields(section.type):
                metas = getattr(key.type, "__metadata__", ())
                self.assertTrue(any(m.description for m in metas), f"{section.name}.{key.name}")


class FaultTests(_Folder):
    def test_C3_unknown_key_names_file_line_key_and_the_near_one(self) -> None:
        text = self.fault("# head\n[relay]\n\nprot = 25\n[submission]\nlisten_tls = []\n")
        self.assertIn(f"{self.path}:4: relay.prot: unknown key; did you mean port?", text)
        self.assertIn("lifetime", text)

    def test_C3_unknown_section(self) -> None:
        self.assertIn(
            f"{self.path}:1: [rellay]: unknown section; did you mean relay?",
            self.fault("[rellay]\n"),
        )

    def test_C3_wrong_type(self) -> None:
        text = self.fault('[relay]\nport = "25"\nlifetime = 5\ntls = "maybe"\nreuse = 0\n')
        self.assertIn(f"{self.path}:2: relay.port: expected a number, got a string.", text)
        self.assertIn(f"{self.path}:3: relay.lifetime: expected a string, got 5.", text)
        self.assertIn(f"{self.path}:4: relay.tls: ", text)
        self.assertIn(f"{self.path}:5: relay.reuse: expected a number >= 1.", text)

    def test_C3_lines_of_inline_and_dotted_keys(self) -> None:
        text = self.fault('[relay]\nroutes = {"a.example" = "nowhere"}\nsources.a.ipp = "::1"\n')
        self.assertIn(f'{self.path}:2: relay.routes.a.example: expected "host:port", got', text)
        self.assertIn(f"{self.path}:3: relay.sources.a: unknown key `ipp`", text)

    def test_C3_not_toml_and_not_utf8(self) -> None:
        self.assertIn(f"{self.path}:2: not valid TOML", self.fault("[server]\nhostname = mail\n"))
        self.path.write_bytes(b"\xff")
        self.assertRaises(ConfigError, load, self.path)

    def test_C3_what_belongs_together(self) -> None:
        self.assertIn("expected certificate and private_key beside", self.fault("[server]\n"))
        for text in (
            'certificate = "a.pem"\n',
            '[relay]\ndeliver = "smarthost"\n',
            '[relay]\nsmarthost_username = "me"\n',
            '[relay.sources.a]\nip = "elsewhere"\n',
            '[relay.pools]\ndefault = ["a"]\n',
            '[relay]\nroutes = {"*.*" = "a:1"}\n',
        ):
            self.fault("[submission]\nlisten_tls = []\n" + text)

    def test_C3_a_choice_says_what_is_allowed(self) -> None:
        for text, expected in (
            (
                '[relay]\ndeliver = "x"',
                'relay.deliver: expected "internet", "smarthost" or "sandbox"',
            ),
            ("[relay]\ndeliver = 5", 'or "sandbox", got 5.'),
            (
                '[log]\nlevel = "loud"',
                'log.level: expected "debug", "info", "warn" or "error", got',
            ),
            (
                '[server]\nroles = ["web", "x"]',
                'roles[1]: expected "submission", "relay", "feedback" or "web"',
            ),
            (
                "[server]\nroles = []",
                'roles: expected a list of "submission", "relay", "feedback" or "web"',
            ),
            ('[store]\nurl = "x"', 'store.url: expected "sqlite:///PATH" or "postgresql://'),
            ('[web]\npublic_url = "x"', "web.public_url: expected a URL such as"),
            ('[server]\nnode = "a b"', "server.node: expected up to 64 letters, digits"),
            ('[relay.sources.a]\nipp = "::1"', "unknown key `ipp`; expected one of ip, ehlo."),
        ):
            self.assertIn(expected, self.fault(text))

    def test_C3_urls_and_hops_that_lead_nowhere(self) -> None:
        for text, key in (
            ('[web]\npublic_url = "https://[::1"', "web.public_url"),
            ('[web]\ntracking_url = "https://a.example:99999"', "web.tracking_url"),
            ('[relay]\nsmarthost = "mx.example:0"', "relay.smarthost"),
            ('[relay]\nroutes = {"a.example" = "mx.example:0"}', "relay.routes.a.example"),
        ):
            self.assertIn(f"{key}: expected", self.fault(f"[submission]\nlisten_tls = []\n{text}"))


class ListeningTests(_Folder):
    """What cannot be listened on beside something else is refused where it is said."""

    def test_C3_an_address_twice(self) -> None:
        for text, line, key in (
            ('[submission]\nlisten = ["127.0.0.1:25", "127.0.0.1:25"]', 2, "submission.listen"),
            ('[submission]\nlisten = ["0.0.0.0:25", "127.0.0.1:25"]', 2, "submission.listen"),
            ('[submission]\nlisten = ["[::]:25", "[::1]:25"]', 2, "submission.listen"),
            ('[submission]\nlisten = ["127.0.0.1:8025"]', 2, "submission.listen"),
            ('[web]\nlisten = "127.0.0.1:587"\n[submission]', 2, "web.listen"),
            ('[web]\nlisten = "localhost:587"\n[submission]', 2, "web.listen"),
            (
                (
                    '[feedback]\ndomain = "b.example"\nlisten = ["0.0.0.0:25"]\n[submission]\n'
                    'listen = ["127.0.0.1:25"]'
                ),
                3,
                "feedback.listen",
            ),
        ):
            said = self.fault(f"{text}\nlisten_tls = []\n")
            self.assertIn(f"{self.path}:{line}: {key}: expected another port: ", said)
        said = self.fault("", "submission.listen_tls=[]", "web.listen=0.0.0.0:587")
        self.assertEqual(
            said,
            '--set: web.listen: expected another port: "0.0.0.0:587" cannot be listened on '
            'beside "0.0.0.0:587" of submission.listen.',
        )

    def test_addresses_that_go_together(self) -> None:
        for text in (
            'listen = ["127.0.0.1:0", "127.0.0.1:0"]',
            'listen = ["127.0.0.1:25", "127.0.0.2:25", "[::1]:25"]',
            'listen = ["0.0.0.0:25"]',  # no bounce domain: nothing else is there
            'listen = ["127.0.0.1:8025"]\n[server]\nroles = ["submission"]',
        ):
            self.read(f"[submission]\nlisten_tls = []\n{text}\n")

    def test_names_are_not_listened_on(self) -> None:
        self.assertIn(
            'submission.listen: expected an address of this machine, such as "0.0.0.0:587"',
            self.fault("", "submission.listen=mail.example:587"),
        )
        self.assertIn("web.listen: expected an address", self.fault("", "web.listen=web:80"))
        self.read("", "submission.listen_tls=[]", "web.listen=localhost:80")


class PasswordFileTests(_Folder):
    TEXT = (
        '[submission]\nlisten_tls = []\n[relay]\ndeliver = "smarthost"\nsmarthost = "mx.example:587"\n'
        'smarthost_username = "me"\nsmarthost_password_file = "password"\n'
    )

    def test_the_first_line_is_the_password(self) -> None:
        (self.folder / "password").write_text("s3cret \nnote\n")
        config = self.read(self.TEXT)
        self.assertEqual(config.smarthost_password(), "s3cret")
        self.assertNotIn("s3cret", repr(config))
        self.assertEqual(self.read("").smarthost_password(), "")

    def test_missing_or_empty(self) -> None:
        config = self.read(self.TEXT)
        self.assertRaises(ConfigError, config.smarthost_password)
        (self.folder / "password").write_text("\nlater")
        self.assertRaises(ConfigError, config.smarthost_password)

    def test_C3_a_service_is_told_where_the_file_was_named(self) -> None:
        self.read(self.TEXT)
        said = str(self.assertRaises(ConfigError, load, self.path, with_files=True))
        key = "relay.smarthost_password_file"
        self.assertEqual(
            said,
            f"{self.path}:7: {key}: {self.folder}/password cannot be read: No such file or directory.",
        )

    def test_C3_a_key_that_is_not_the_certificates(self) -> None:
        for name in ("one", "other"):
            certificate, key = self_signed("localhost", 1.8e9)
            (self.folder / f"{name}.pem").write_bytes(certificate)
            (self.folder / f"{name}.key").write_bytes(key)
        self.read('[submission]\ncertificate = "one.pem"\nprivate_key = "other.key"\n')
        said = str(self.assertRaises(ConfigError, load, self.path, with_files=True))
        self.assertEqual(said.partition(" The ")[0], f"{self.path}:2: submission.certificate:")
        self.assertIn("does not belong to the certificate", said)
        self.read('[submission]\ncertificate = "one.pem"\nprivate_key = "one.key"\n')
        load(self.path, with_files=True)


class OverrideTests(_Folder):
    def test_literals_bare_words_and_lists(self) -> None:
        config = self.read(
            "",
            "relay.port=2525",
            "relay.lifetime=1d",
            "web.listen=127.0.0.1:0",
            'submission.listen=["127.0.0.1:0"]',
            "submission.show_client=false",
            "server.roles=web,relay",
            'relay.routes."example.net"=127.0.0.1:2526',
        )
        self.assertEqual(config.relay.port, 2525)
        self.assertEqual(config.relay.lifetime, "1d")
        self.assertEqual(config.web.listen.port, 0)
        self.assertEqual(config.submission.listen, ("127.0.0.1:0",))
        self.assertFalse(config.submission.show_client)
        self.assertEqual(config.server.roles, ("web", "relay"))
        self.assertEqual(config.relay.routes, {"example.net": "127.0.0.1:2526"})

    def test_a_value_cannot_smuggle_another_key(self) -> None:
        self.fault("", "relay.port=25\nlifetime = 1")

    def test_faults_name_the_override(self) -> None:
        self.assertIn("--set: relay.port: ", self.fault("", "relay.port=x"))
        for setting in ("relay.port", "port=25", "=", "relay..port=1", "relay.port.x=1"):
            self.fault("[submission]\nlisten_tls = []\n[relay]\nport = 26\n", setting)


class WhereTests(_Folder):
    def test_order(self) -> None:
        system = self.folder / "etc.toml"
        self.assertIs(find_file(None, {}, self.folder, system), None)
        system.write_text("")
        self.assertEqual(find_file(None, {}, self.folder, system), system)
        self.path.write_text("")
        self.assertEqual(find_file(None, {}, self.folder, system), self.path)
        named = self.folder / "named.toml"
        named.write_text("")
        self.assertEqual(
            find_file(None, {"SMTPPLUS_CONFIG": str(named)}, self.folder, system), named
        )
        self.assertEqual(
            find_file("etc.toml", {"SMTPPLUS_CONFIG": str(named)}, self.folder, system), system
        )

    def test_a_named_file_must_exist(self) -> None:
        self.assertRaises(ConfigError, find_file, "no.toml", {}, self.folder, self.path)
        self.assertRaises(
            ConfigError, find_file, None, {"SMTPPLUS_CONFIG": "no"}, self.folder, self.path
        )
