"""Real clients that say in X-SMTPAPI what they want: MailUp's words and SendGrid's (P2, P6, P10)."""

from __future__ import annotations

import json
import os
import re
import smtplib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.folders import folder_of
from tests.live.installation import Installation, trusting
from tests.live.peers import Sink, needs, wait_for

_NODE_MODULES = Path(__file__).parents[2] / ".ci" / "cache" / "node_modules"
_PHPMAILER = Path("/usr/share/php/libphp-phpmailer/autoload.php")
_TO = "someone@example.net"
_MANY = 500

_Client = Callable[[Installation, Any], None]


def nodemailer(service: Installation, said: Any) -> None:
    """It folds what it is given to write, as header values go."""
    if not (_NODE_MODULES / "nodemailer").is_dir():
        raise SkipTest(f"needs nodemailer (npm install --prefix {_NODE_MODULES.parent} nodemailer)")
    script = """
const said = require('fs').readFileSync(0, 'utf8');
const transport = require('nodemailer').createTransport({
  host: '127.0.0.1', port: +process.env.PORT, requireTLS: true,
  tls: {rejectUnauthorized: false},
  auth: {user: process.env.SMTP_USER, pass: process.env.SMTP_PASSWORD}});
transport.sendMail({from: 'Shop <shop@example.com>', to: process.env.TO, subject: 'Hi [name]',
  text: 'Dear -name-', headers: {'X-SMTPAPI': said}}).then(() => process.exit(0),
  error => { console.error(error); process.exit(1); });
"""
    _run([needs("node"), "-e", script], service, said, {"NODE_PATH": str(_NODE_MODULES)})


def phpmailer(service: Installation, said: Any) -> None:
    """It writes a header's value as it stands, on one line, or in encoded words."""
    if not _PHPMAILER.is_file():
        raise SkipTest("needs PHPMailer (Debian package libphp-phpmailer)")
    script = f"""
require '{_PHPMAILER}';
$mail = new PHPMailer\\PHPMailer\\PHPMailer(true);
$mail->isSMTP(); $mail->Host = '127.0.0.1'; $mail->Port = (int) getenv('PORT');
$mail->SMTPAuth = true; $mail->Username = getenv('SMTP_USER');
$mail->Password = getenv('SMTP_PASSWORD'); $mail->SMTPSecure = 'tls';
$mail->SMTPOptions = ['ssl' => ['verify_peer' => false, 'verify_peer_name' => false,
  'allow_self_signed' => true]];
$mail->CharSet = 'utf-8'; $mail->setFrom('shop@example.com', 'Shop');
$mail->addAddress(getenv('TO')); $mail->Subject = 'Hi [name]'; $mail->Body = 'Dear -name-';
$mail->addCustomHeader('X-SMTPAPI', stream_get_contents(STDIN));
try {{ $mail->send(); }} catch (Exception $error) {{
  fwrite(STDERR, implode(' ', $mail->getSMTPInstance()->getError())); exit(1); }}
"""
    _run([needs("php"), "-d", "memory_limit=512M", "-r", script], service, said, {})


def _run(command: list[str], service: Installation, said: Any, more: dict[str, str]) -> None:
    environment = {
        "PORT": str(service.submission),
        "SMTP_USER": service.username,
        "SMTP_PASSWORD": service.password,
        "TO": _TO,
        **more,
    }
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    done = subprocess.run(
        command,
        input=text.encode(),
        capture_output=True,
        timeout=120,
        env=os.environ | environment,
        check=False,
    )
    if done.returncode:
        told = (done.stdout + done.stderr)[-2000:].decode(errors="replace")
        raise AssertionError(f"{command[0]} said {done.returncode}: {told}")


class ControlsOfClientsTests(SynchronousTestCase):
    """What goes out says nothing of the header any more, and does what it said."""

    def setUp(self) -> None:
        self.directory = folder_of(self)
        self.directory.mkdir(parents=True)
        self.sink = Sink(self, self.directory)
        routes = f'{{"example.net" = "127.0.0.1:{self.sink.port}"}}'
        settings = {
            "relay.routes": routes,
            "relay.sources": '{a = {ip = "127.0.0.2"}, b = {ip = "127.0.0.3"}}',
            "relay.pools": '{default = ["a"], other = ["b"]}',
        }
        self.service = Installation(self, self.directory, settings)
        self.service.start()

    def test_P2_P6_nodemailer_mailup(self) -> None:
        self._mailup(nodemailer)

    def test_P2_P6_phpmailer_mailup(self) -> None:
        self._mailup(phpmailer)

    def test_P2_nodemailer_sendgrid(self) -> None:
        self._sendgrid(nodemailer)

    def test_P2_phpmailer_sendgrid(self) -> None:
        self._sendgrid(phpmailer)

    def test_P2_what_cannot_be_read_reaches_nodemailer(self) -> None:
        self._refused(nodemailer)

    def test_P2_what_cannot_be_read_reaches_phpmailer(self) -> None:
        self._refused(phpmailer)

    def _refused(self, client: _Client) -> None:
        refusal = ""
        try:  # a client that is missing skips the test
            client(self.service, '{"CampaignCode": "x", "Priority": 9}')
        except AssertionError as error:
            refusal = str(error)
        self.assertIn("X-SMTPAPI Priority: expected a number", refusal)
        self.assertEqual(self.service.cli("queue", "list"), [])

    def _mailup(self, client: _Client) -> None:
        said = {
            "CampaignName": "Bestellungen für März",
            "CampaignCode": "orders-0042",
            "Header": False,
            "Footer": None,
            "ClickTracking": None,
            "Priority": 2,
            "Schedule": "2021-09-14T17:58+02:00",
            "DynamicFields": [{"N": "name", "V": "Zoë"}],
        }
        client(self.service, said)
        (mail,) = self._arrived(1)
        message = self._message(mail)
        self.assertNotIn(b"X-SMTPAPI", mail)
        self.assertIn(b"DKIM-Signature:", mail)
        self.assertEqual(message["campaign"], "Bestellungen für März")
        self.assertEqual(message["priority"], 2)

    def _sendgrid(self, client: _Client) -> None:
        names = [f"Name{n}" for n in range(_MANY)]
        said = {
            "to": [f"{name} <{name.lower()}@example.net>" for name in names],
            "sub": {"-name-": names},
            "category": ["newsletter", "März"],
            "unique_args": {"order": 1042},
        }
        client(self.service, said)
        mails = self._arrived(_MANY)
        tos = set()
        for mail in mails:
            self.assertNotIn(b"X-SMTPAPI", mail)
            found = re.search(rb"^To: (Name\d+) <name\d+@example.net>$", mail, re.MULTILINE)
            assert found is not None, mail[:2_000]
            tos.add(found[1])
            self.assertIn(b"Dear %s\n" % found[1], mail)
        self.assertEqual(len(tos), _MANY)
        message = self._message(mails[0])
        self.assertEqual(message["campaign"], "newsletter")
        self.assertEqual(message["states"], {"delivered": _MANY})

    def test_P2_a_pool_is_where_a_message_leaves_from(self) -> None:
        for pool in ("other", "fast"):
            client = smtplib.SMTP("127.0.0.1", self.service.submission, timeout=30)
            client.starttls(context=trusting())
            client.login(self.service.username, self.service.password)
            head = f"From: hello@example.com\r\nTo: {_TO}\r\nX-MC-IpPool: {pool}\r\n"
            client.sendmail("hello@example.com", [_TO], f"{head}Subject: {pool}\r\n\r\nHi\r\n")
            client.quit()
        found = {}
        for mail in self._arrived(2):
            shown = self._shown(mail)
            (attempt,) = shown["attempts"]
            found[shown["message"]["subject"]] = re.findall(
                r" from (127\S+)", attempt["transcript"]
            )
        self.assertEqual(found, {"other": ["127.0.0.3"], "fast": ["127.0.0.2"]})

    def _arrived(self, count: int) -> list[bytes]:
        wait_for("delivery", lambda: self.sink.count() >= count, 120)
        wait_for("outcomes", lambda: self.service.delivered() >= count, 30)
        return self.sink.mails()

    def _message(self, mail: bytes) -> dict[str, Any]:
        message: dict[str, Any] = self._shown(mail)["message"]
        return message

    def _shown(self, mail: bytes) -> dict[str, Any]:
        found = re.search(rb"with ESMTPSA id ([0-9a-z]{13})", mail)
        assert found is not None
        shown: dict[str, Any] = self.service.cli("message", "show", found[1].decode())
        return shown
