"""Random clients: SMTPPLUS_FUZZ=100000 asks for so many command groups instead of a few."""

import os
import random

from hypothesis import HealthCheck, given
from hypothesis import settings as fuzz
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.server import ServerSettings
from tests.smtp.pump import TLS, Pump, codes, cuts, settings

GROUPS = int(os.environ.get("SMTPPLUS_FUZZ", "300"))
EXAMPLES = max(20, GROUPS // 100)
LOOSE = {"max_errors": 10**9, "max_junk": 10**9, "max_failed_auths": 10**9, "tarpit_after": 10**9}

ADDRESSES = (
    *(b"<a@example.com>", b"<>", b"<refuse@example.com>", b"<later@x>", b"<b@c> SIZE=5", b"<B@C>"),
    *(b"<b@c>", b"x@y", b"<bad", b"<\xc3\xa9@x>", b"<\xc3\xa9@x> SMTPUTF8", b"<b@c> NOTIFY=NEVER"),
    *(b"<b@c> HOLDFOR=5 BY=9;N", b"<b@c> HOLDUNTIL=1970-01-01T00:01:00Z MT-PRIORITY=3"),
    *(b"<b@c> BY=5;R", b"<b@c> MT-PRIORITY=99", b"<b@c> HOLDFOR=99 BY=20;R"),
    *(b"<b@c> SIZE=99999999", b"<a@b> BODY=8BITMIME RET=FULL", b"<postmaster>", b"<@r:u@d>"),
)
MIDDLE = (
    *(
        b"RSET",
        b"NOOP",
        b"NOOP x",
        b"VRFY x",
        b"HELP",
        b"EXPN x",
        b"FOO",
        b"",
        b"\xff\xfe",
        b"NOOP\0",
    ),
    *(
        b"EHLO again",
        b"HELO again",
        b"EHLO",
        b"x" * 5000,
        b"MAIL",
        b"RCPT",
        b"STARTTLS now",
        b"BDAT",
    ),
    *(b"DATA now", b"AUTH FOO", b"AUTH PLAIN !", b"NOOP\nNOOP"),
)
CONTENTS = (
    *(
        b".\r\n",
        b"x\r\n.\r\n",
        b"..\r\n.\r\n",
        b"a\nb\r\n.\r\n",
        b"a\r\n.\nQUIT\r\n.\r\n",
        b"\r\n.\r\n",
    ),
    *(
        b"QUIT\r\nRSET\r\n.\r\n",
        b"x" * 300 + b"\r\n.\r\n",
        b"\0\r\n.\r\n",
        b"a\r.\r\nNOOP\r\n.\r\n",
    ),
)


def group(chance: random.Random) -> list[bytes]:
    """A group as RFC 2920 allows it: each item is sent at once, or one after the other's reply.

    DATA stands last; its content is an item of its own, sent after 354.
    """
    items: list[bytes] = []
    for _ in range(chance.randrange(6)):
        kind = chance.randrange(5)
        if kind == 0:
            items.append(chance.choice(MIDDLE) + b"\r\n")
        elif kind == 1:
            octets = chance.choice(CONTENTS)
            last = chance.choice((b"", b" LAST", b" LAST"))
            items.append(b"BDAT %d%s\r\n" % (len(octets), last) + octets)
        else:
            verb = chance.choice((b"MAIL FROM:", b"RCPT TO:", b"RCPT TO:"))
            items.append(verb + chance.choice(ADDRESSES) + b"\r\n")
    if chance.random() < 0.5:
        items += [b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n"][: chance.randrange(3)]
        items.append(b"DATA\r\n")
    return items


class FuzzTests(SynchronousTestCase):
    def test_S6_pipelined_as_one_by_one(self) -> None:
        seed = random.Random(GROUPS)
        done = 0
        while done < GROUPS:
            chance = random.Random(seed.random())
            changed = settings(
                max_message_bytes=200,
                max_recipients=3,
                bare_line_ends=chance.choice(("normalise", "reject")),
                longest_hold=chance.choice((0, 100)),
                shortest_by=chance.choice((None, 10)),
                mt_priority=chance.random() < 0.5,
                **LOOSE,
            )
            one, piped, chopped = (Pump(changed) for _ in range(3))
            for pump in (one, piped, chopped):
                pump.send(b"EHLO c\r\n")
            for _ in range(20):
                done += 1
                items = group(chance)
                expected = one.send(*items)
                wire = b"".join(items)
                self.assertEqual(piped.send(wire), expected, wire)
                pieces = list(cuts(wire, done))[2]
                self.assertEqual(chopped.send(*pieces), expected, wire)
                if expected and expected[-1].startswith("354"):
                    content = chance.choice(CONTENTS)
                    final = one.send(*(content[at : at + 1] for at in range(len(content))))
                    self.assertEqual(len(final), 1)
                    self.assertEqual(piped.send(content), final)
                    self.assertEqual(chopped.send(content), final)
            self.assertEqual(one.messages, piped.messages)
            self.assertEqual(one.messages, chopped.messages)
            self.assertEqual(
                [event for event in one.events if "Chunk" not in type(event).__name__],
                [event for event in piped.events if "Chunk" not in type(event).__name__],
            )

    def test_S6_the_groups_reach_everything(self) -> None:
        chance, seen, messages = random.Random(6), set[str](), 0
        for _ in range(60):
            pump = Pump(settings(max_message_bytes=200, max_recipients=3, **LOOSE))
            pump.send(b"EHLO c\r\n")
            for _ in range(20):
                seen |= {reply[:9] for reply in pump.send(*group(chance), b"x\r\n.\r\n")}
            messages += len(pump.messages)
        self.assertGreater(messages, 100)
        self.assertGreaterEqual(len({reply[:3] for reply in seen}), 12, seen)

    @fuzz(max_examples=EXAMPLES, deadline=None, derandomize=True)
    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=60),
                st.sampled_from(MIDDLE).map(lambda line: line + b"\r\n"),
                st.sampled_from(ADDRESSES).map(lambda path: b"MAIL FROM:" + path + b"\r\n"),
                st.sampled_from(ADDRESSES).map(lambda path: b"RCPT TO:" + path + b"\r\n"),
                st.sampled_from(CONTENTS),
                st.sampled_from(
                    (
                        b"DATA\r\n",
                        b"BDAT 5\r\n",
                        b"BDAT 3 LAST\r\nabc",
                        b"AUTH PLAIN\r\n",
                        b"AUTH LOGIN\r\n",
                        b"AUTH SCRAM-SHA-256\r\n",
                        b"biwsbj11c2VyLHI9YWJj\r\n",
                        b"AHVzZXIAc2VjcmV0\r\n",
                        b"*\r\n",
                        b"STARTTLS\r\n",
                        b"QUIT\r\n",
                    )
                ),
            ),
            max_size=15,
        ),
        st.booleans(),
        st.booleans(),
    )
    def test_S9_nothing_is_raised(self, pieces: list[bytes], secure: bool, proxied: bool) -> None:
        changed = ServerSettings(
            hostname="mx.example", require_auth=False, proxied=proxied, max_message_bytes=100
        )
        pump = Pump(changed, tls=TLS if secure else None)
        if proxied:
            pump.send(b"PROXY UNKNOWN\r\n")
        pump.send(b"EHLO c\r\n")
        pump.send(*pieces)
        pump.hang_up()
        self.assertIsNotNone(pump.closed)

    @fuzz(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.text(max_size=100),
        st.sampled_from(("MAIL FROM:", "RCPT TO:", "EHLO ", "AUTH ", "BDAT ")),
    )
    def test_S9_arguments(self, argument: str, verb: str) -> None:
        wire = f"{verb}{argument}\r\n".encode("utf-8", "surrogatepass")
        pump = Pump(settings(**LOOSE), tls=TLS)
        pump.send(
            b"EHLO c\r\nMAIL FROM:<a@b> SMTPUTF8\r\n" if verb == "RCPT TO:" else b"EHLO c\r\n"
        )
        self.assertTrue(all(200 <= code < 600 for code in codes(pump.send(wire))))
