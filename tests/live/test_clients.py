"""Real clients in, a real server out: plain text, HTML and 20 MiB, over STARTTLS and over TLS."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import smtplib
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.folders import folder_of
from tests.live.installation import Installation
from tests.live.peers import Sink, needs, wait_for
from tests.live.signatures import opendkim_verifies, valid_signatures

_TO = "someone@example.net"
_FROM = "shop@example.com"
_PHPMAILER = Path("/usr/share/php/libphp-phpmailer/autoload.php")
_NODE_MODULES = Path(__file__).parents[2] / ".ci" / "cache" / "node_modules"

_SINKS_OWN = rb"\A(?:Received:.*\n(?:[ \t].*\n)*)"
_BIG = 1 << 20

_Client = Callable[[Installation, Path, bool], None]


def _run(
    command: list[str], content: bytes = b"", environment: dict[str, str] | None = None
) -> None:
    done = subprocess.run(
        command,
        input=content,
        capture_output=True,
        timeout=120,
        env=os.environ | (environment or {}),
        check=False,
    )
    if done.returncode:
        said = (done.stdout + done.stderr)[-2000:].decode(errors="replace")
        raise AssertionError(f"{command[0]} said {done.returncode}: {said}")


def _port(service: Installation, *, implicit: bool) -> int:
    return service.submission_tls if implicit else service.submission


def swaks(service: Installation, mail: Path, implicit: bool) -> None:
    if subprocess.run(
        ["perl", "-MNet::SSLeay", "-e", "1"], capture_output=True, check=False
    ).returncode:
        raise SkipTest("swaks needs Net::SSLeay for TLS (Debian package libnet-ssleay-perl)")
    _run(
        [
            needs("swaks"),
            "--server", "127.0.0.1", "--port", str(_port(service, implicit=implicit)),
            "--tls-on-connect" if implicit else "--tls",
            "--auth", "PLAIN", "--auth-user", service.username,
            "--auth-password", service.password,
            "--from", _FROM, "--to", _TO, "--data", f"@{mail}", "--hide-all",
        ]
    )  # fmt: skip


def curl(service: Installation, mail: Path, implicit: bool) -> None:
    scheme = "smtps" if implicit else "smtp"
    _run(
        [
            needs("curl"), "--silent", "--show-error", "--insecure", "--ssl-reqd",
            f"{scheme}://127.0.0.1:{_port(service, implicit=implicit)}",
            "--user", f"{service.username}:{service.password}",
            "--mail-from", _FROM, "--mail-rcpt", _TO, "--upload-file", str(mail),
        ]
    )  # fmt: skip


def msmtp(service: Installation, mail: Path, implicit: bool) -> None:
    _run(
        [
            needs("msmtp"), "--host=127.0.0.1", f"--port={_port(service, implicit=implicit)}",
            "--tls=on", f"--tls-starttls={'off' if implicit else 'on'}", "--tls-certcheck=off",
            "--auth=on", f"--user={service.username}", "--passwordeval=printenv SMTP_PASSWORD",
            f"--from={_FROM}", _TO,
        ],
        mail.read_bytes(),
        {"SMTP_PASSWORD": service.password},
    )  # fmt: skip


def smtplib_(service: Installation, mail: Path, implicit: bool) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    port = _port(service, implicit=implicit)
    client: smtplib.SMTP
    if implicit:
        client = smtplib.SMTP_SSL("127.0.0.1", port, context=context, timeout=60)
    else:
        client = smtplib.SMTP("127.0.0.1", port, timeout=60)
    with client:
        if not implicit:
            client.starttls(context=context)
        client.login(service.username, service.password)
        client.sendmail(_FROM, [_TO], mail.read_bytes())


def nodemailer(service: Installation, mail: Path, implicit: bool) -> None:
    if not (_NODE_MODULES / "nodemailer").is_dir():
        raise SkipTest(f"needs nodemailer (npm install --prefix {_NODE_MODULES.parent} nodemailer)")
    script = """
const transport = require('nodemailer').createTransport({
  host: '127.0.0.1', port: +process.env.PORT, secure: process.env.IMPLICIT === '1',
  requireTLS: true, tls: {rejectUnauthorized: false},
  auth: {user: process.env.SMTP_USER, pass: process.env.SMTP_PASSWORD}});
transport.sendMail({envelope: {from: process.env.FROM, to: process.env.TO},
  raw: {path: process.env.MAIL}}).then(() => process.exit(0),
  error => { console.error(error); process.exit(1); });
"""
    _run([needs("node"), "-e", script], environment=_environment(service, mail, implicit=implicit))


def phpmailer(service: Installation, mail: Path, implicit: bool) -> None:
    """PHPMailer writes its mails itself: it is given the parts."""
    if not _PHPMAILER.is_file():
        raise SkipTest("needs PHPMailer (Debian package libphp-phpmailer)")
    script = f"""
require '{_PHPMAILER}';
$mail = new PHPMailer\\PHPMailer\\PHPMailer(true);
$mail->isSMTP(); $mail->Host = '127.0.0.1'; $mail->Port = (int) getenv('PORT');
$mail->SMTPAuth = true; $mail->Username = getenv('SMTP_USER');
$mail->Password = getenv('SMTP_PASSWORD');
$mail->SMTPSecure = getenv('IMPLICIT') === '1' ? 'ssl' : 'tls';
$mail->SMTPOptions = ['ssl' => ['verify_peer' => false, 'verify_peer_name' => false,
  'allow_self_signed' => true]];
$mail->setFrom(getenv('FROM')); $mail->addAddress(getenv('TO'));
$mail->Subject = getenv('KIND'); $mail->CharSet = 'utf-8';
$mail->Body = 'Grüße, <b>you</b>'; $mail->isHTML(getenv('KIND') !== 'text');
if (getenv('KIND') === 'big') $mail->addAttachment(getenv('ATTACHMENT'), 'big.bin');
$mail->send();
"""
    environment = _environment(service, mail, implicit=implicit)
    environment |= {"KIND": mail.stem, "ATTACHMENT": str(mail.with_name("attachment"))}
    _run([needs("php"), "-d", "memory_limit=512M", "-r", script], environment=environment)


def _environment(service: Installation, mail: Path, *, implicit: bool) -> dict[str, str]:
    return {
        "PORT": str(_port(service, implicit=implicit)),
        "IMPLICIT": str(int(implicit)),
        "SMTP_USER": service.username,
        "SMTP_PASSWORD": service.password,
        "FROM": _FROM,
        "TO": _TO,
        "MAIL": str(mail),
        "NODE_PATH": str(_NODE_MODULES),
    }


def _mails(directory: Path) -> list[Path]:
    """A text, an HTML mail and one with a 20 MiB attachment, as files with CRLF line ends."""
    head = f"From: Shop <{_FROM}>\r\nTo: {_TO}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    attachment = os.urandom(1 << 20) * 20
    (directory / "attachment").write_bytes(attachment)
    # Lines as long as they may be: clients that write each by itself take a minute for short ones.
    digits = attachment[: 10 << 20].hex()
    text = "".join(f"{digits[at : at + 990]}\r\n" for at in range(0, len(digits), 990))
    mails = {
        "text": "Subject: text\r\n\r\nHello\r\n.\r\n..dots\r\n",
        "html": "Subject: html\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n<p>Gr\u00fc\u00dfe</p>\r\n",
        "big": "Subject: big\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" + text,
    }
    paths = []
    for name, rest in mails.items():
        path = directory / f"{name}.eml"
        path.write_bytes(f"{head}Message-ID: <{name}@example.com>\r\n{rest}".encode())
        paths.append(path)
    return paths


class ClientTests(SynchronousTestCase):
    """O11 and M1 in one: what real clients send is what a real server gets, signed."""

    def setUp(self) -> None:
        self.directory = folder_of(self)
        self.directory.mkdir(parents=True)
        self.sink = Sink(self, self.directory)
        self.service = Installation(
            self,
            self.directory,
            {"relay.routes": f'{{"example.net" = "127.0.0.1:{self.sink.port}"}}'},
        )
        self.service.start()
        self.mails = _mails(self.directory)
        self.keys = self.service.dkim_keys()

    def _all(self, client: _Client, *, writes_itself: bool = False) -> None:
        """Each mail by STARTTLS; by TLS from the start the small ones, in which nothing else differs."""
        sent = [(mail, implicit) for implicit in (False, True) for mail in self.mails
                if not implicit or mail.stat().st_size < _BIG]  # fmt: skip
        for mail, implicit in sent:
            client(self.service, mail, implicit)
        wait_for("delivery", lambda: self.sink.count() == len(sent), 60)
        arrived = [re.sub(_SINKS_OWN, b"", content) for content in self.sink.mails()]
        said = opendkim_verifies(arrived, self.keys, self.directory / "opendkim")
        self.assertEqual(said, [""] * len(sent))
        seen = [self._check(content, writes_itself=writes_itself) for content in arrived]
        self.assertEqual(sorted(seen), sorted(mail.stem for mail, _ in sent))

    def _check(self, content: bytes, *, writes_itself: bool) -> str:
        """Is it what was sent? Its subject."""
        if len(content) < _BIG:  # dkimpy needs seconds for 20 MiB; opendkim has seen those
            crlf = content.replace(b"\n", b"\r\n")
            self.assertEqual(valid_signatures(crlf, self.keys), [True])
        match = re.search(rb"^Subject: (\w+)$", content, re.MULTILINE)
        assert match is not None
        name = match[1].decode()
        submitted = (self.directory / f"{name}.eml").read_bytes().replace(b"\r\n", b"\n")
        if not writes_itself:
            # swaks and PHPMailer end every message with an empty line of their own.
            self.assertTrue(content.rstrip(b"\n").endswith(submitted.rstrip(b"\n")), content[:2000])
        elif name == "big":
            encoded = max(content.split(b"\n\n"), key=len)
            digest = hashlib.sha256(base64.b64decode(encoded)).digest()
            wanted = hashlib.sha256((self.directory / "attachment").read_bytes()).digest()
            self.assertEqual(digest, wanted)
        return name

    def test_O11_swaks(self) -> None:
        self._all(swaks)

    def test_O11_curl(self) -> None:
        self._all(curl)

    def test_O11_msmtp(self) -> None:
        self._all(msmtp)

    def test_O11_smtplib(self) -> None:
        self._all(smtplib_)

    def test_O11_nodemailer(self) -> None:
        self._all(nodemailer)

    def test_O11_phpmailer(self) -> None:
        self._all(phpmailer, writes_itself=True)
