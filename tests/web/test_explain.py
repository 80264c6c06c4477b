"""The "why": every outcome has a sentence, the specific ones say the specific thing."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.values.outcome import Outcome, Result, Stage
from smtpplus.values.status_codes import EnhancedCode
from smtpplus.web.explain import explain

_TABLE = [
    ("5.1.1", Stage.RCPT, "The mailbox does not exist at example.net."),
    ("5.1.2", Stage.ROUTE, "The domain example.net does not exist or takes no mail."),
    ("5.1.10", Stage.ROUTE, "The domain example.net says that it takes no mail at all (null MX)."),
    ("4.2.2", Stage.RCPT, "The mailbox at example.net is full."),
    ("5.2.2", Stage.BODY, "The mailbox at example.net is full."),
    ("4.4.1", Stage.CONNECT, "No mail server of example.net answered."),
    ("4.4.3", Stage.ROUTE, "The name servers for example.net gave no reliable answer."),
    (
        "5.7.26",
        Stage.BODY,
        "example.net refuses the message: several authentication checks failed.",
    ),
    ("4.0.0", Stage.RCPT, "example.net did not accept the recipient anna@example.net."),
    ("5.5.4", Stage.MAIL, "example.net did not accept the sender."),
    ("5.9.9", Stage.BODY, "example.net read the message and did not accept it."),
    ("4.9.9", Stage.STARTTLS, "No encrypted connection to example.net could be set up."),
]


def outcome(result: Result, stage: Stage, code: str, *, uncertain: bool = False) -> Outcome:
    status = EnhancedCode.parse(code)
    assert status is not None
    return Outcome(result, stage, status, "text", None, uncertain)


class ExplainTests(SynchronousTestCase):
    def test_codes_and_stages_become_sentences(self) -> None:
        for code, stage, wanted in _TABLE:
            result = Result.DEFERRED if code.startswith("4") else Result.BOUNCED
            self.assertEqual(explain(outcome(result, stage, code), "anna@example.net"), wanted)

    def test_every_outcome_has_a_whole_sentence_without_gaps(self) -> None:
        for result, stage, klass, subject, detail in product(
            Result, Stage, (2, 4, 5), range(9), range(30)
        ):
            code = f"{klass}.{subject}.{detail}"
            text = explain(outcome(result, stage, code), "a{0}b@{x}.example")
            self.assertTrue(text.endswith((".", ").")), text)
            self.assertNotIn("{domain}", text)
            self.assertNotIn("{address}", text)

    def test_greylisting_is_not_called_a_refusal(self) -> None:
        waiting = outcome(Result.DEFERRED, Stage.RCPT, "4.7.1")
        self.assertIn("come back later", explain(waiting, "anna@example.net"))

    def test_an_uncertain_end_says_that_the_message_may_have_arrived(self) -> None:
        lost = outcome(Result.DEFERRED, Stage.BODY, "4.4.2", uncertain=True)
        self.assertIn("may have arrived", explain(lost, "anna@example.net"))
