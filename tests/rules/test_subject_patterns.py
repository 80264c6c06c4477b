"""Dynamic subjects: what becomes a placeholder, in several languages, and what is learnt (P6)."""

from __future__ import annotations

import time
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.subject_learning import grown, learn, match_learnt
from smtpplus.rules.subject_patterns import pattern_of
from smtpplus.values.learnt_pattern import LearntPattern

PATTERNS = (
    ("Ticket 123 solved", "Ticket {number} solved"),
    ("Re: AW: Ticket #456 solved", "Ticket #{number} solved"),
    ("R: preventivo 12", "preventivo {number}"),
    ("Here: 12 things", "Here: {number} things"),
    ("[Shop] Order A-2026/17 of 10.11.2026 shipped", "[Shop] Order {id} of {date} shipped"),
    ("[PROJ-123] Build failed", "[{id}] Build failed"),
    ("Order [123] shipped", "Order {text} shipped"),
    ("Hi Mario Rossi, your code is 482913", "Hi {name}, your code is {number}"),
    ("Ciao Anna! La tua fattura INV-2026-0001", "Ciao {name}! La tua fattura {id}"),
    ("Gentile Sig.ra Bianchi, il suo ordine", "Gentile {name}, il suo ordine"),
    (
        "Sehr geehrter Herr M\u00fcller, Ihre Rechnung 4711 vom 3. M\u00e4rz 2026",
        "Sehr geehrter {name}, Ihre Rechnung {number} vom {date}",
    ),
    ("Bonjour Am\u00e9lie, votre commande n\u00b012345 du 3 mai", "Bonjour {name}, votre commande n\u00b0{number} du {date}"),
    ("Hola Jos\u00e9, tu pedido 123-4567890-1234567 ha sido enviado", "Hola {name}, tu pedido {number} ha sido enviado"),
    ("Ol\u00e1 Jo\u00e3o, a sua encomenda de 12 de janeiro de 2026", "Ol\u00e1 {name}, a sua encomenda de {date}"),
    ("\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439\u0442\u0435 \u0418\u0432\u0430\u043d, \u0437\u0430\u043a\u0430\u0437 \u2116123 \u043e\u0442 5 \u043c\u0430\u044f", "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439\u0442\u0435 {name}, \u0437\u0430\u043a\u0430\u0437 \u2116{number} \u043e\u0442 {date}"),
    ("Cze\u015b\u0107 Jan, zam\u00f3wienie 12345", "Cze\u015b\u0107 {name}, zam\u00f3wienie {number}"),
    ("Mario, your parcel arrives Monday at 14:30", "{name}, your parcel arrives {date} at {time}"),
    ("Happy birthday, Mario!", "Happy birthday, {name}!"),
    ("Welcome Mario", "Welcome {name}"),
    ("Welcome to Shop", "Welcome to Shop"),
    ("Invoice November 2026", "Invoice {date}"),
    ("Fattura di novembre", "Fattura di {date}"),
    ("You may return it", "You may return it"),
    ("Report for May 2026", "Report for {date}"),
    ("Backup of 2026-11-10T08:00:00Z done", "Backup of {date} done"),
    ("Meeting 11/10/2026 3 pm", "Meeting {date} {time}"),
    ("Termin um 14 Uhr", "Termin um {time}"),
    ("Password reset for a.b+c@mail.example.com", "Password reset for {address}"),
    ("See https://example.com/x?y=1 now", "See {link} now"),
    ('New comment on "Hello world" (3 new)', "New comment on {text} {text}"),
    ("Neuer Kommentar zu \u201eHallo Welt\u201c", "Neuer Kommentar zu {text}"),
    ("Commentaire sur \u00ab Bonjour \u00bb", "Commentaire sur {text}"),
    ("It's Anna's turn", "It's Anna's turn"),
    ("$5.00 received", "{amount} received"),
    ("Rechnung \u00fcber 1.234,50 \u20ac", "Rechnung \u00fcber {amount}"),
    ("Pagamento di EUR 12,00 ricevuto", "Pagamento di {amount} ricevuto"),
    ("Betaling 1 299,00 kr", "Betaling {amount}"),
    ("20% off", "{number}% off"),
    ("7f3e9a12-aaaa-bbbb-cccc-1234567890ab failed", "{id} failed"),
    ("Your receipt from Apple", "Your receipt from Apple"),
    ("Thank You For Your Order", "Thank You For Your Order"),
    ("Thank You Anna", "Thank You {name}"),
    ("Welcome To Shop", "Welcome To Shop"),
    ("Hi An, your order", "Hi {name}, your order"),
    ("Hi Anna, Your Order", "Hi {name}, Your Order"),
    ("Goodbye, Mario!", "Goodbye, {name}!"),
    ("Reminder, Mario Rossi!", "Reminder, {name}!"),
    ("Goodbye, Anna Maria Rossi", "Goodbye, {name}"),
    ("Erinnerung, Peter Meier", "Erinnerung, {name}"),
    ("PROMEMORIA, MARIO ROSSI", "PROMEMORIA, {name}"),
    ("Hello Again, Anna", "Hello Again, {name}"),
    ("Thanks Again, Anna", "Thanks Again, {name}"),
    ("Thanks Again Anna", "Thanks Again {name}"),
    ("Welcome Aboard, Anna", "Welcome Aboard, {name}"),
    ("Willkommen Zur\u00fcck, Anna", "Willkommen Zur\u00fcck, {name}"),
    ("Welcome Onwards, Anna", "Welcome {name}, {name}"),
    ("Whoops, Anna Rossi!", "{name}, {name}!"),
    ("Anna Rossi, Whoops", "{name}, {name}"),
    ("Reminder, your invoice", "Reminder, your invoice"),
    ("Hi Anna, Payment Received", "Hi {name}, Payment Received"),
    ("Order Shipped, Anna", "Order Shipped, {name}"),
    ("Anna, Payment Received", "{name}, Payment Received"),
    ("Anna Rossi, Your Order", "{name}, Your Order"),
    ("\u6ce8\u6587\u756a\u53f712345\u306e\u3054\u78ba\u8a8d", "\u6ce8\u6587\u756a\u53f7{number}\u306e\u3054\u78ba\u8a8d"),
    ("\u8ba2\u5355A-123\u5df2\u53d1\u8d27", "\u8ba2\u5355{id}\u5df2\u53d1\u8d27"),
    ("\uc8fc\ubb38 12345\ubc88 \ubc30\uc1a1", "\uc8fc\ubb38 {number}\ubc88 \ubc30\uc1a1"),
    ("", ""),
    ("   ", ""),
)  # fmt: skip
TOGETHER = (
    ("Ticket 123 solved", "Ticket 456 solved", "RE: Ticket 1.234 solved", "ticket A-9 solved"),
    ("Order a1b2c3 shipped", "Order 123456 shipped"),
    ("Invoice 1 of 3 May 2026", "Invoice 22 of 14 June 2026", "Invoice 3 of 2026-05-01"),
    ('Alert "db" (1)', 'Alert "web server" (12 new)'),
    ("Whoops, Mario!", "Whoops, Anna Maria Rossi!"),
    ("Welcome Onwards, Anna", "Welcome Onwards, Mario Rossi"),
    ("Hi Anna, done", "Hi Jean-Pierre de la Tour, done", "Hi \u674e\u5c0f\u9f99, done"),
)
APART = (
    ("Ticket 123 solved", "Ticket 123 opened"),
    ("[Shop] Order 1", "[Store] Order 1"),
    ("Your order has shipped", "Your order has arrived"),
    ("Thank You For Your Order", "Thank You For Signing Up"),
    ("Goodbye, Mario!", "Reminder, Mario!"),
    ("Reminder, Mario Rossi!", "Goodbye, Mario Rossi!"),
    ("Thanks Again, Anna", "Welcome Aboard, Anna"),
    ("Order Shipped, Anna", "Payment Received, Anna"),
    ("Hi Anna, Your Order", "Hi Anna, Your Invoice"),
    ("\u60a8\u7684\u9a8c\u8bc1\u7801\u662f123456", "\u8ba2\u5355123\u5df2\u53d1\u8d27"),
)


class PatternTests(SynchronousTestCase):
    def test_P6_patterns(self) -> None:
        for subject, expected in PATTERNS:
            self.assertEqual(pattern_of(subject).text, expected, subject)

    def test_P6_what_belongs_together(self) -> None:
        for subjects in TOGETHER:
            self.assertEqual(len({pattern_of(one).key for one in subjects}), 1, subjects)

    def test_P6_what_stays_apart(self) -> None:
        for first, second in APART:
            self.assertNotEqual(pattern_of(first).key, pattern_of(second).key)

    def test_the_recipients_own_words(self) -> None:
        keys = {
            pattern_of(f"Report of {name} is ready", [name]).key
            for name in ("Mario Rossi", "Anna", "MARIO rossi", "O'Neill")
        }
        self.assertEqual(keys, {"report of * is ready"})
        self.assertEqual(pattern_of("Whoops, Anna!", ["Anna Rossi"]).text, "Whoops, {name}!")
        self.assertEqual(pattern_of("Hi Ann, Foo", ["Ann"]).text, "Hi {name}, Foo")
        self.assertEqual(pattern_of("Ann, my Foo", ["Foo"]).text, "{name}, my {name}")
        self.assertEqual(pattern_of("A b", ["", "1", "x" * 10_000]).text, "A b")

    @settings(max_examples=300, deadline=None)
    @given(st.text(max_size=300))
    def test_any_subject_has_a_pattern(self, subject: str) -> None:
        pattern = pattern_of(subject, [subject])
        self.assertEqual(pattern, pattern_of(subject, [subject]))
        self.assertNotIn("\ue000", pattern.text)

    def test_hostile_subjects_take_no_time(self) -> None:
        pieces = ("a1-", "'x ", "(", "[a", "12.", "a@b.", "1 ", "A, ", "Hi A", '"a', "www.", "$1",
                  "Re: ", "re:", "\u5355 1", "\u53551a-", "Hi For You ", "a/", "\u0301", "1st ", "may 1 ", "de ", "A-", "[[", "\u201e")  # fmt: skip
        started = time.process_time()
        for piece in pieces:
            pattern_of(piece * 20_000, [piece * 1_000])
        self.assertLess(time.process_time() - started, 1.0)


NAMES = ("Anna Bianchi", "Ugo", "Jean-Pierre Dupont", "Mario Rossi", "Li", "Eva Maria Braun",
         "Tom", "Ada Lovelace", "Grace Hopper", "Alan")  # fmt: skip
THINGS = ("Roadmap", "the budget draft", "Q list", "Holidays", "our new office", "Menu", "Budget",
          "Plans", "Food", "Travel to Rome")  # fmt: skip


class LearnTests(SynchronousTestCase):
    def counts(self) -> dict[str, int]:
        found = {
            f"{name} commented on {thing}": 1 for name, thing in zip(NAMES, THINGS, strict=True)
        }
        found |= {f"Thanks for your review of {thing}": 2 for thing in THINGS}
        found |= {"Your order has shipped": 900, "Your order has arrived": 800}
        found |= {f"Your order has {what}": 100 for what in ("moved", "left", "gone", "begun")}
        return found | {"Monthly report": 12, "Password reset": 400}

    def test_P6_patterns_are_learnt_from_many(self) -> None:
        patterns = learn(self.counts())
        self.assertEqual(
            [(one.text, one.subjects, one.messages) for one in patterns],
            [("Thanks for your review of {text}", 10, 20), ("{text} commented on {text}", 10, 10)],
        )

    def test_P6_what_comes_again_and_again_stays_apart(self) -> None:
        patterns = learn(self.counts())
        for subject in ("Your order has shipped", "Monthly report"):
            self.assertIsNone(match_learnt(pattern_of(subject).key, patterns))

    def test_a_learnt_pattern_takes_new_subjects(self) -> None:
        patterns = learn(self.counts())
        for subject in ("Zo\u00eb Van Dam commented on Kitchen", "X commented on 3 new things (2)"):
            found = match_learnt(pattern_of(subject).key, patterns)
            assert found is not None, subject
            self.assertEqual(found.key, "* commented on *")
        self.assertIsNone(match_learnt("commented by zoe", patterns))

    def test_the_hint_tells_of_the_campaign_code(self) -> None:
        for pattern in learn(self.counts()):
            self.assertIn("campaign code", pattern.hint)
            self.assertIn(pattern.text, pattern.hint)

    def test_the_order_of_counts_does_not_matter(self) -> None:
        counts = self.counts()
        again = dict(reversed(list(counts.items())))
        self.assertEqual(learn(counts), learn(again))

    def test_a_stored_key_gives_the_pattern_back(self) -> None:
        for pattern in learn(self.counts()):
            again = LearntPattern.of_key(pattern.key)
            self.assertEqual((again.words, again.key), (pattern.words, pattern.key))

    def test_P6_what_is_known_stays_when_more_is_learnt(self) -> None:
        first, second = learn(self.counts())
        more = learn({f"{name} commented on Roadmap": 1 for name in NAMES})
        self.assertEqual([one.key for one in more], ["* commented on roadmap"])
        self.assertEqual(grown((), more), more)
        (kept,) = grown(more, ())
        self.assertEqual((kept.key, kept.subjects), (more[0].key, more[0].subjects))
        self.assertIn("commented on Roadmap” and", more[0].hint)
        self.assertIn("10 subjects can count as one campaign", kept.hint)  # no examples any more
        # It has newer numbers; what it covers is nothing new, what covers it is.
        newer = replace(second, messages=99)
        self.assertEqual(grown((second,), (newer, *more)), (newer,))
        keys = [one.key for one in grown(more, (first, second))]
        self.assertEqual(keys, [one.key for one in (*more, first, second)])

    def test_only_so_many_are_kept_and_those_found_again_first(self) -> None:
        old = [LearntPattern.of_key(f"old {number} *") for number in range(30)]
        new = [LearntPattern.of_key(f"new {number} *") for number in range(10)]
        kept = grown(old, [*old[20:], *new])
        self.assertEqual(
            [one.key for one in kept], [one.key for one in (*old[20:], *new, *old[:10])]
        )

    def test_learning_is_bounded(self) -> None:
        counts = {f"w{n} x{n % 7} y{n % 11} z{n % 13} {'v ' * (n % 50)}{chr(97 + n % 26)}": 1
                  for n in range(5_000)}  # fmt: skip
        started = time.process_time()
        learn(counts)
        self.assertLess(time.process_time() - started, 10.0)

    def test_nothing_comes_of_nothing(self) -> None:
        self.assertEqual(learn({}), ())
        self.assertEqual(learn({"": 5, "a": 1}), ())
