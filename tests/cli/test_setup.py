from __future__ import annotations

import contextlib
import sqlite3
import stat
import tomllib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.config import load
from tests.cli.certificates import weak_pair
from tests.cli.shell import Shell
from tests.folders import folder_of

FACTS = [
    "config",
    "submission",
    "submission_tls",
    "returns",
    "web",
    "username",
    "password",
    "sign_in",
]


class InitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = folder_of(self)

    def test_a_trial_is_set_up_and_told(self) -> None:
        shell = Shell(self, self.folder)
        facts = shell.facts
        self.assertEqual(list(facts), FACTS)
        self.assertEqual(facts["config"], str(self.folder / "smtpplus.toml"))
        self.assertEqual(facts["submission"], "127.0.0.1:2587")
        self.assertEqual(facts["web"], "http://127.0.0.1:8025")
        self.assertTrue(facts["sign_in"].startswith("http://127.0.0.1:8025/sign-in/"))
        self.assertEqual(shell.json("user", "show", facts["username"])["list"], "default")
        [domain] = shell.json("domain", "list")
        self.assertEqual(domain["domain"], "example.com")
        self.assertTrue(domain["verified"])

    def test_nobody_else_can_read_it(self) -> None:
        Shell(self, self.folder)
        self.assertEqual(stat.S_IMODE(self.folder.stat().st_mode), 0o700)
        for path in self.folder.rglob("*"):
            allowed = 0o700 if path.is_dir() else 0o600
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), allowed, path)

    def test_W8_the_secret_is_kept_nowhere(self) -> None:
        password = Shell(self, self.folder).facts["password"].encode()
        for path in self.folder.rglob("*"):
            if path.is_file():
                self.assertNotIn(password, path.read_bytes())

    def test_a_secret_that_is_lost_for_good(self) -> None:
        shell = Shell(self, self.folder)
        path = self.folder / "secret.key"
        path.unlink()
        self.assertIn("migrate --new-secret", shell.refused("user", "list"))
        for wrong in ("", "ab"):
            path.write_text(wrong)
            self.assertIn("is no secret", shell.refused("migrate", "--new-secret"))
        path.write_text("5c" * 32)
        self.assertIn("make new ones", shell.run("migrate", "--new-secret")[0])
        [old] = shell.json("domain", "key", "example.com", "list")
        self.assertEqual(old["state"], "active")
        keys = shell.json("domain", "key", "example.com", "add")
        self.assertEqual(len(keys), 2)
        shell.run("domain", "key", "example.com", "activate", "--force")
        keys = {
            one["selector"]: one["state"]
            for one in shell.json("domain", "key", "example.com", "list")
        }
        self.assertEqual(keys.pop(old["selector"]), "retired")
        self.assertEqual([*keys.values()], ["active"])

    def test_nothing_is_overwritten(self) -> None:
        shell = Shell(self, self.folder)
        before = (self.folder / "secret.key").read_bytes()
        self.assertIn("holds an installation already", shell.refused("init", str(self.folder)))
        self.assertEqual((self.folder / "secret.key").read_bytes(), before)
        other = self.folder.with_name("other")
        other.mkdir()
        (other / "diary.txt").write_text("mine")
        self.assertIn("not empty (there is diary.txt)", shell.refused("init", str(other)))

    def test_A10_production_has_no_account_user_or_password(self) -> None:
        shell = Shell(self, self.folder)
        folder = self.folder.with_name("production")
        facts = shell.json("init", str(folder), "--production", "--hostname", "Mail.example.org")
        self.assertEqual(list(facts), FACTS)
        self.assertEqual((facts["username"], facts["password"]), (None, None))
        config = load(Path(facts["config"]))
        self.assertEqual(config.server.hostname, "mail.example.org")
        self.assertEqual(config.relay.deliver, "internet")
        self.assertEqual(config.submission.listen, ("0.0.0.0:587",))
        shell.facts = facts
        for what in ("account", "list", "user", "domain"):
            self.assertEqual(shell.json(what, "list"), [], what)
        [person] = shell.json("person", "list")
        self.assertEqual((person["role"], person["has_password"]), ("operator", False))

    def test_production_needs_a_full_host_name(self) -> None:
        shell = Shell(self, self.folder)
        folder = str(self.folder.with_name("production"))
        shell.run("init", folder, "--production", status=2)
        shell.run("init", folder, "--hostname", "mail.example.org", status=2)
        for name in ("mail", "mail example", ""):
            self.assertIn(
                "--hostname", shell.refused("init", folder, "--production", "--hostname", name)
            )
        self.assertFalse(Path(folder).exists())


class CheckConfigTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shell = Shell(self, folder_of(self))
        self.file = Path(self.shell.facts["config"])

    def test_what_is_in_effect_is_a_configuration_again(self) -> None:
        for arguments in (("check-config",), ("check-config", "--explain")):
            out, _ = self.shell.run("--set", "relay.port=2525", *arguments)
            found = tomllib.loads(out)
            self.assertEqual(found["relay"]["port"], 2525)
            other = self.file.with_name("again.toml")
            other.write_text(out)
            again = load(other)
            self.assertEqual(again.relay.port, 2525)
            self.assertEqual(again.submission, load(self.file).submission)

    def test_json(self) -> None:
        found = self.shell.json("check-config")
        self.assertEqual(found["relay"]["deliver"], "sandbox")
        explained = self.shell.json("check-config", "--explain")
        self.assertEqual(explained["relay"]["port"]["default"], "25")

    def test_C3_faults_are_refused_with_file_line_and_key(self) -> None:
        text = self.file.read_text()
        self.file.write_text(text.replace('deliver = "sandbox"', 'delivery = "sandbox"'))
        error = self.shell.refused("check-config")
        self.assertIn("relay.delivery: unknown key; did you mean deliver?", error)
        self.assertRegex(error, r"smtpplus\.toml:\d+: ")

    def test_files_are_looked_at_too(self) -> None:
        key = self.file.with_name("private_key.pem")
        key.write_text("no key")
        self.assertIn("private_key.pem", self.shell.refused("check-config"))
        key.unlink()
        self.assertIn("private_key.pem", self.shell.refused("check-config"))

    def test_what_a_start_refuses_is_refused(self) -> None:
        password = self.file.with_name("password")
        for settings, text in (
            (("web.listen=127.0.0.1:2587",), "web.listen: expected another port"),
            (("dns.nameservers=dns.example",), "expected the address of a name server"),
            (
                ("relay.smarthost_username=me", f"relay.smarthost_password_file={password}"),
                "No such",
            ),
            ((f"store.url=sqlite:///{self.file.parent}",), "expected the path of a file"),
        ):
            sets = [word for one in settings for word in ("--set", one)]
            self.assertIn(text, self.shell.refused(*sets, "check-config"))
        for name, octets in zip(("certificate", "private_key"), weak_pair(), strict=True):
            self.file.with_name(f"{name}.pem").write_bytes(octets)
        error = self.shell.refused("check-config")
        self.assertIn("TLS does not accept the certificate", error)
        self.assertIn("key too small", error)


class MigrateTests(SynchronousTestCase):
    def test_nothing_to_do_and_nothing_there(self) -> None:
        shell = Shell(self, folder_of(self))
        self.assertFalse(shell.json("migrate")["changed"])
        (shell.folder / "queue" / "smtpplus.sqlite3").unlink()
        self.assertIn("There is no store", shell.refused("migrate"))
        self.assertIn("There is no store", shell.refused("user", "list"))

    def test_an_empty_store_is_made_when_that_is_what_was_asked_for(self) -> None:
        shell = Shell(self, folder_of(self))
        path = shell.folder / "queue" / "smtpplus.sqlite3"
        self.assertIn("already", shell.refused("migrate", "--new-store"))
        self.assertTrue(shell.json("user", "list"))
        path.write_bytes(b"")
        self.assertIn("smtpplus.sqlite3 is empty", shell.refused("migrate"))
        with contextlib.closing(sqlite3.connect(path)) as database:  # a head, and no tables
            database.execute("VACUUM")
        self.assertGreater(path.stat().st_size, 0)
        self.assertIn("smtpplus.sqlite3 is empty", shell.refused("migrate"))
        self.assertTrue(shell.json("migrate", "--new-store")["changed"])
        self.assertEqual(shell.json("user", "list"), [])
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
