"""The policy of failure as a table (O6, O7)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.failure import Action, judge_loss, judge_reply
from smtpplus.values.outcome import Result, Stage
from smtpplus.values.reply import Reply
from smtpplus.values.status_codes import EnhancedCode

_NEXT, _STOP = Action.NEXT_HOST, Action.STOP
_LATER, _NEVER = Result.DEFERRED, Result.BOUNCED

# stage, code, enhanced → action, result, status, is the session still usable
_REPLIES = [
    (Stage.GREETING, 421, "4.3.2", _NEXT, _LATER, "4.3.2", False),
    (Stage.GREETING, 421, None, _NEXT, _LATER, "4.3.2", False),
    (Stage.GREETING, 554, "5.7.1", _NEXT, _LATER, "4.7.1", False),
    (Stage.GREETING, 521, None, _NEXT, _LATER, "4.3.2", False),
    (Stage.HELLO, 450, None, _NEXT, _LATER, "4.2.0", False),
    (Stage.HELLO, 550, "5.7.1", _NEXT, _NEVER, "5.7.1", False),
    (Stage.STARTTLS, 454, "4.7.0", _NEXT, _LATER, "4.7.0", False),
    (Stage.STARTTLS, 501, None, _NEXT, _LATER, "4.7.5", False),
    (Stage.AUTH, 535, "5.7.8", _NEXT, _LATER, "4.7.8", False),
    (Stage.MAIL, 421, "4.7.0", _NEXT, _LATER, "4.7.0", False),
    (Stage.MAIL, 451, "4.7.1", _NEXT, _LATER, "4.7.1", True),
    (Stage.MAIL, 452, None, _NEXT, _LATER, "4.3.1", True),
    (Stage.MAIL, 550, "5.7.1", _STOP, _NEVER, "5.7.1", True),
    (Stage.MAIL, 552, "5.3.4", _STOP, _NEVER, "5.3.4", True),
    (Stage.MAIL, 553, None, _STOP, _NEVER, "5.1.3", True),
    (Stage.RCPT, 450, "4.2.0", _NEXT, _LATER, "4.2.0", True),
    (Stage.RCPT, 451, None, _NEXT, _LATER, "4.3.0", True),
    (Stage.RCPT, 550, "5.1.1", _STOP, _NEVER, "5.1.1", True),
    (Stage.RCPT, 550, None, _STOP, _NEVER, "5.1.1", True),
    (Stage.RCPT, 552, None, _NEXT, _LATER, "4.2.2", True),
    (Stage.RCPT, 552, "5.2.2", _STOP, _NEVER, "5.2.2", True),
    (Stage.RCPT, 556, None, _STOP, _NEVER, "5.1.10", True),
    (Stage.RCPT, 550, "4.1.1", _STOP, _NEVER, "5.1.1", True),
    (Stage.RCPT, 450, "5.1.1", _NEXT, _LATER, "4.1.1", True),
    (Stage.RCPT, 550, "2.1.5", _STOP, _NEVER, "5.1.1", True),
    (Stage.DATA, 451, "4.3.0", _NEXT, _LATER, "4.3.0", True),
    (Stage.DATA, 503, None, _STOP, _NEVER, "5.5.0", True),
    (Stage.BODY, 451, None, _STOP, _LATER, "4.3.0", True),
    (Stage.BODY, 452, "4.3.1", _STOP, _LATER, "4.3.1", True),
    (Stage.BODY, 421, "4.7.28", _STOP, _LATER, "4.7.28", False),
    (Stage.BODY, 550, "5.7.1", _STOP, _NEVER, "5.7.1", True),
    (Stage.BODY, 554, None, _STOP, _NEVER, "5.6.0", True),
    (Stage.BODY, 552, "5.3.4", _STOP, _NEVER, "5.3.4", True),
]


class FailureTests(SynchronousTestCase):
    def test_O6_what_a_reply_at_each_stage_means(self) -> None:
        for stage, code, enhanced, action, result, status, usable in _REPLIES:
            with self.subTest(stage=stage, code=code, enhanced=enhanced):
                judged = judge_reply(stage, Reply.of(code, enhanced, "said", "more"))
                self.assertEqual(
                    (judged.action, judged.outcome.result, str(judged.outcome.status)),
                    (action, result, status),
                )
                self.assertEqual(judged.session_usable, usable)
                self.assertIn(str(code), judged.outcome.text)

    def test_O6_no_transient_reply_ever_bounces(self) -> None:
        for stage in Stage:
            for code in range(400, 500):
                judged = judge_reply(stage, Reply.of(code, None, "later"))
                self.assertIs(judged.outcome.result, Result.DEFERRED)
                self.assertEqual(judged.outcome.status.klass, 4)

    def test_O7_a_lost_connection_is_deferred_and_tries_the_next_host(self) -> None:
        judged = judge_loss(Stage.MAIL, "closed", after_final_dot=False, reply=None)
        self.assertIs(judged.action, Action.NEXT_HOST)
        self.assertEqual(judged.outcome.status, EnhancedCode(4, 4, 2))
        self.assertFalse(judged.outcome.uncertain)

    def test_O7_what_the_remote_ended_the_session_with_is_its_status(self) -> None:
        for reply, status in (
            (Reply.of(421, "4.7.28", "slower"), "4.7.28"),
            (Reply.of(421, None, "busy"), "4.3.2"),
            (Reply.of(550, "5.7.1", "no"), "4.7.1"),  # to RSET: not about the message
        ):
            outcome = judge_loss(Stage.GREETING, "x", after_final_dot=False, reply=reply).outcome
            self.assertIs(outcome.result, Result.DEFERRED)
            self.assertEqual(str(outcome.status), status)

    def test_D10_a_connection_lost_after_the_final_dot_is_uncertain_and_goes_nowhere_else(
        self,
    ) -> None:
        judged = judge_loss(Stage.BODY, "closed", after_final_dot=True, reply=None)
        self.assertIs(judged.action, Action.STOP)
        self.assertIs(judged.outcome.result, Result.DEFERRED)
        self.assertTrue(judged.outcome.uncertain)
