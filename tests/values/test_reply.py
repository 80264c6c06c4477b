from twisted.trial.unittest import SynchronousTestCase

from smtpplus.values.reply import Reply


class ReplyTests(SynchronousTestCase):
    def test_encode(self) -> None:
        for reply, wire in (
            (Reply.of(250, "2.0.0", "OK"), b"250 2.0.0 OK\r\n"),
            (Reply.of(354, None, "Go on"), b"354 Go on\r\n"),
            (Reply.of(250, None), b"250 \r\n"),
            (Reply.of(250, None, "a", "b"), b"250-a\r\n250 b\r\n"),
            (Reply.of(550, "5.1.1", "a", "b"), b"550-5.1.1 a\r\n550 5.1.1 b\r\n"),
        ):
            self.assertEqual(reply.encode(), wire)

    def test_S17_nothing_in_a_text_makes_a_second_line(self) -> None:
        for text in ("a\r\n250 OK", "a\nb", "\0", "\x1b[31m", "r\u00e9my", "\u202e", "\x7f"):
            for lines in ((text,), (text, "x")):
                wire = Reply.of(550, "5.1.1", *lines).encode()
                self.assertEqual(wire.count(b"\n"), len(lines))
                self.assertIn(b"?", wire)
                self.assertRegex(wire, rb"\A(?:[\x20-\x7e]+\r\n)+\Z")

    def test_a_line_has_at_most_512_octets(self) -> None:
        self.assertLessEqual(len(Reply.of(550, "5.1.1", "x" * 1000).encode()), 512)
