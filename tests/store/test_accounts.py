"""IAccounts over the database."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import text

from smtpplus.store.store import Store
from smtpplus.store.topics import ACCOUNTS
from smtpplus.values.errors import ConflictError, NotFoundError, UsageError
from smtpplus.values.submission import (
    DkimKeyState,
    MailList,
    ScramVerifier,
    SmtpUser,
    Stream,
    UserStatus,
)
from tests.store.samples import NOW, VERIFIER, StoreCase, accepted

PEM = b"-----BEGIN PRIVATE KEY-----\nvery private\n-----END PRIVATE KEY-----\n"


class AccountCase(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.store: Store = self.open_blocking()
        self.accounts = self.store.accounts

    async def list(self, account: str = "acme", name: str = "default") -> MailList:
        if account not in [known.name for known in await self.accounts.accounts()]:
            await self.accounts.add_account(account, NOW)
        return await self.accounts.add_list(account, name, Stream.TRANSACTIONAL, NOW)

    async def user(self, username: str | None = "web") -> SmtpUser:
        mails = await self.list()
        return await self.accounts.add_user(
            mails.id, username, VERIFIER, ["example.com"], ["a@example.com"], NOW
        )


class LearningTests(AccountCase):
    async def send(self, mails: MailList, *subjects: str) -> None:
        for subject in subjects:
            item = accepted(self.store.ids, subject=subject)
            about = replace(item.message, account_id=mails.account_id, list_id=mails.id)
            await self.store.queue.accept(replace(item, message=about))

    async def keys(self, list_id: int) -> list[str]:
        """What messages of the list are counted by."""
        found = await self.accounts.list_by_id(list_id)
        assert found is not None
        return [one.key for one in found.learnt]

    async def test_P6_what_was_learnt_is_kept_with_the_list(self) -> None:
        mails = await self.list()
        other = await self.list(name="other")
        await self.send(mails, *(f"Report of {name} is ready" for name in "ABCDEFGHI"))
        self.assertEqual(await self.keys(mails.id), [])
        learnt = await self.accounts.learn(mails.id, NOW)
        self.assertEqual(learnt.at, NOW)
        [found] = learnt.patterns
        self.assertEqual((found.key, found.subjects), ("report of * is ready", 9))
        self.assertIn("campaign code", found.hint)
        self.assertEqual(await self.keys(mails.id), ["report of * is ready"])
        self.assertEqual((await self.accounts.learn(other.id, NOW)).patterns, ())
        await self.store.close()
        self.store = self.open_blocking()
        self.accounts = self.store.accounts
        self.assertEqual((await self.accounts.list_by_name("default")).learnt, (found,))

    async def test_it_is_learnt_again_after_ten_minutes_and_what_was_known_stays(self) -> None:
        mails = await self.list()
        await self.send(mails, *(f"Report of {name} is ready" for name in "ABCDEFGHI"))
        await self.accounts.learn(mails.id, NOW)
        await self.send(mails, *(f"Photos of {name} are here" for name in "ABCDEFGHI"))
        again = await self.accounts.learn(mails.id, NOW + 599)
        self.assertEqual((again.at, len(again.patterns)), (NOW, 1))
        again = await self.accounts.learn(mails.id, NOW + 600)
        self.assertEqual((again.at, len(again.patterns)), (NOW + 600, 2))
        both = ["report of * is ready", "photos of * are here"]
        self.assertEqual(await self.keys(mails.id), both)

    async def test_while_nothing_is_known_a_minute_is_enough(self) -> None:
        mails = await self.list()
        await self.send(mails, *(f"Report of {name} is ready" for name in "ABC"))
        self.assertEqual((await self.accounts.learn(mails.id, NOW)).patterns, ())
        await self.send(mails, *(f"Report of {name} is ready" for name in "DEFGH"))
        self.assertEqual((await self.accounts.learn(mails.id, NOW + 59)).at, NOW)
        again = await self.accounts.learn(mails.id, NOW + 60)
        self.assertEqual((again.at, len(again.patterns)), (NOW + 60, 1))

    async def test_other_processes_are_told_where_messages_count_otherwise(self) -> None:
        mails = await self.list()
        await self.send(mails, *(f"Report of {name} is ready" for name in "ABCDEFGHI"))
        other = self.open_blocking()
        await other.accounts.list_by_id(mails.id)
        told: list[str] = []
        other.changed.subscribe(lambda: told.append(ACCOUNTS), ACCOUNTS)
        other.changed.subscribe(other.accounts.forget, ACCOUNTS)
        await other.changed.poll()  # type: ignore[attr-defined]
        told.clear()
        await self.accounts.learn(mails.id, NOW)
        await other.changed.poll()  # type: ignore[attr-defined]
        self.assertEqual(told, [ACCOUNTS])
        found = await other.accounts.list_by_id(mails.id)
        assert found is not None
        self.assertEqual([one.key for one in found.learnt], ["report of * is ready"])


class ListTests(AccountCase):
    async def test_accounts_by_name(self) -> None:
        for name in ("zeta", "Alpha", "beta"):
            await self.accounts.add_account(name, NOW)
        names = [account.name for account in await self.accounts.accounts()]
        self.assertEqual(names, ["Alpha", "beta", "zeta"])

    async def test_a_name_is_taken_whatever_its_case(self) -> None:
        await self.list()
        with self.assertRaisesRegex(ConflictError, "'ACME'"):
            await self.accounts.add_account("ACME", NOW)
        with self.assertRaisesRegex(ConflictError, "'Default'"):
            await self.accounts.add_list("acme", "Default", Stream.SUBSCRIBED, NOW)

    async def test_names_are_printable_and_bounded(self) -> None:
        for name in ("", "  ", "a\nb", "x" * 201):
            with self.assertRaisesRegex(UsageError, "printable"):
                await self.accounts.add_account(name, NOW)
        await self.accounts.add_account("acme", NOW)
        with self.assertRaisesRegex(UsageError, "slash"):
            await self.accounts.add_list("acme", "a/b", Stream.SUBSCRIBED, NOW)

    async def test_a_list_by_its_own_name_or_with_its_account(self) -> None:
        one = await self.list("acme")
        self.assertEqual(await self.accounts.list_by_name("DEFAULT"), one)
        other = await self.list("other")
        with self.assertRaisesRegex(UsageError, "ACCOUNT/default"):
            await self.accounts.list_by_name("default")
        self.assertEqual(await self.accounts.list_by_name("other/default"), other)
        with self.assertRaises(NotFoundError):
            await self.accounts.list_by_name("nobody/default")
        self.assertEqual(await self.accounts.lists(other.account_id), [other])
        self.assertEqual(await self.accounts.lists(None), [one, other])

    async def test_when_what_holds_for_messages_was_changed_is_kept(self) -> None:
        user = await self.user()
        self.assertIsNone(user.changed_at)
        mails = await self.accounts.list_by_id(user.list_id)
        assert mails is not None
        self.assertIsNone(mails.changed_at)
        for key, value in (("footer_text", "Bye"), ("stream", "subscribed")):
            changed = await self.accounts.set_list(mails.id, key, value)
            self.assertEqual(changed.changed_at, NOW)
        others = {"limit_day": 9, "senders": (), "block_reason": "x"}
        self.assertIsNone((await self.accounts.set_user("web", others)).changed_at)
        of_messages: dict[str, object] = {"priority": 1, "campaign": "x", "recall": 9.0}
        for name, one in of_messages.items():
            changed_user = await self.accounts.set_user("web", {name: one})
            self.assertEqual(changed_user.changed_at, NOW, name)
            await self.accounts.set_user("web", {**others})

    async def test_settings_are_kept_and_taken_back(self) -> None:
        mails = await self.list()
        await self.accounts.set_list(mails.id, "footer_text", "Bye — 再见")
        changed = await self.accounts.set_list(mails.id, "track_opens", True)
        self.assertEqual(changed.settings, {"footer_text": "Bye — 再见", "track_opens": True})
        changed = await self.accounts.set_list(mails.id, "track_opens", None)
        self.assertEqual(changed.settings, {"footer_text": "Bye — 再见"})
        changed = await self.accounts.set_list(mails.id, "stream", Stream.SUBSCRIBED)
        self.assertEqual(changed.stream, Stream.SUBSCRIBED)
        with self.assertRaises(NotFoundError):
            await self.accounts.set_list(999, "stream", Stream.SUBSCRIBED)


class UserTests(AccountCase):
    async def test_a_user_is_found_whatever_its_case_as_it_was_made(self) -> None:
        user = await self.user("Web-Shop")
        found = await self.accounts.user_by_name("wEB-sHOP")
        self.assertEqual(found, user)
        self.assertEqual((user.username, user.list_name), ("Web-Shop", "default"))
        self.assertEqual((user.account_name, user.verifier), ("acme", VERIFIER))
        self.assertEqual((user.domains, user.senders), (("example.com",), ("a@example.com",)))
        self.assertEqual((user.status, user.created_at), (UserStatus.ACTIVE, NOW))
        self.assertEqual(await self.accounts.users(user.account_id), [user])
        self.assertEqual(await self.accounts.users(999), [])

    async def test_names_made_by_us_count_up_within_the_account(self) -> None:
        first = await self.user(None)
        mails = await self.accounts.list_by_name("default")
        more = [
            await self.accounts.add_user(mails.id, None, VERIFIER, [], [], NOW) for _ in range(2)
        ]
        names = [user.username for user in [first, *more]]
        self.assertEqual(names, ["s10001_01", "s10001_02", "s10001_03"])

    async def test_a_username_is_taken_in_the_whole_installation(self) -> None:
        await self.user()
        other = await self.list("other")
        with self.assertRaisesRegex(ConflictError, "'WEB'"):
            await self.accounts.add_user(other.id, "WEB", VERIFIER, [], [], NOW)
        with self.assertRaises(NotFoundError):
            await self.accounts.add_user(999, "new", VERIFIER, [], [], NOW)

    async def test_changes_hold_at_once(self) -> None:
        await self.user()
        await self.accounts.user_by_name("web")
        secret = ScramVerifier(b"1", 5000, b"2", b"3")
        changes = {
            "verifier": secret,
            "networks": ("192.0.2.0/24",),
            "limit_hour": 5,
            "status": UserStatus.OFF,
            "blocked_until": NOW,
            "block_reason": "too many bounces",
            "duplicates": 3.5,
        }
        for given, kept in (
            ({"footer": True, "utm_source": "erp"}, {"footer": True, "utm_source": "erp"}),
            ({"footer": False}, {"footer": False, "utm_source": "erp"}),
            ({"utm_source": None}, {"footer": False}),
            ({"footer": None}, {}),
        ):
            of_list = await self.accounts.set_user("web", {"settings": given})
            self.assertEqual(of_list.settings, kept)
        changed = await self.accounts.set_user("WEB", changes)
        for name, value in changes.items():
            self.assertEqual(getattr(changed, name), value)
        self.assertEqual(await self.accounts.user_by_name("web"), changed)
        with self.assertRaisesRegex(UsageError, "'id'"):
            await self.accounts.set_user("web", {"id": 3})
        with self.assertRaises(NotFoundError):
            await self.accounts.set_user("nobody", {"limit_hour": 3})

    async def test_the_longest_prefix_wins_by_address(self) -> None:
        await self.user("wide")
        mails = await self.accounts.list_by_name("default")
        for name in ("narrow", "off"):
            await self.accounts.add_user(mails.id, name, VERIFIER, [], [], NOW)
        self.assertIsNone(await self.accounts.user_by_ip("10.1.2.3"))
        await self.accounts.set_user("wide", {"networks": ["10.0.0.0/8", "2001:db8::/32"]})
        await self.accounts.set_user("narrow", {"networks": ["10.1.0.0/16"]})
        off = {"networks": ["10.1.2.0/24"], "status": UserStatus.OFF}
        await self.accounts.set_user("off", off)
        for ip, name in (
            ("10.1.2.3", "narrow"),
            ("::ffff:10.1.2.3", "narrow"),
            ("10.2.2.3", "wide"),
            ("2001:db8::1", "wide"),
        ):
            found = await self.accounts.user_by_ip(ip)
            assert found is not None
            self.assertEqual(found.username, name, ip)
        for ip in ("11.0.0.1", "2001:db9::1", "no address", ""):
            self.assertIsNone(await self.accounts.user_by_ip(ip))

    async def test_a_warm_answer_needs_no_thread(self) -> None:
        await self.user()
        service = await self.started()
        found = await service.accounts.user_by_name("web")
        asking = service.accounts.user_by_name("Web")
        with self.assertRaises(StopIteration) as stop:
            asking.send(None)
        self.assertEqual(stop.exception.value, found)


class DomainTests(AccountCase):
    async def test_a_domain_belongs_to_one_account(self) -> None:
        await self.list()
        await self.list("other")
        made = await self.accounts.add_domain("acme", "Bücher.Example.", None, NOW)
        self.assertEqual(made.domain, "xn--bcher-kva.example")
        with self.assertRaisesRegex(ConflictError, "account 'acme'"):
            await self.accounts.add_domain("other", "bücher.example", NOW, NOW)
        self.assertEqual(await self.accounts.sender_domains(made.account_id), (made,))
        proven = await self.accounts.set_domain_verified("BÜCHER.example", NOW)
        self.assertEqual(proven.verified_at, NOW)
        self.assertEqual(await self.accounts.sender_domains(made.account_id), (proven,))
        self.assertEqual(await self.accounts.domain_by_name("xn--bcher-kva.example"), proven)
        for ask in (self.accounts.domain_by_name, self.accounts.set_domain_verified):
            with self.assertRaises(NotFoundError):
                await ask("nowhere.example", *([None] * (ask != self.accounts.domain_by_name)))

    async def test_a_new_active_key_retires_the_one_before(self) -> None:
        async def add(selector: str, state: DkimKeyState) -> None:
            await self.accounts.add_key("Example.com", selector, PEM, "pub", state, NOW)

        self.assertIsNone(await self.accounts.signing_key("example.com"))
        await add("sp1", DkimKeyState.ACTIVE)
        await add("sp2", DkimKeyState.NEXT)
        key = await self.accounts.signing_key("EXAMPLE.com")
        assert key is not None
        self.assertEqual((key.selector, key.private_pem, key.public_b64), ("sp1", PEM, "pub"))
        self.assertIsNone(await self.accounts.signing_key("mail.example.com"))
        await self.accounts.set_key_state("example.com", "SP2", DkimKeyState.ACTIVE)
        states = {key.selector: key.state for key in await self.accounts.keys("example.com")}
        self.assertEqual(states, {"sp2": DkimKeyState.ACTIVE, "sp1": DkimKeyState.RETIRED})
        await add("sp3", DkimKeyState.ACTIVE)
        found = [(key.selector, key.state) for key in await self.accounts.keys("example.com")]
        self.assertEqual(found[0], ("sp3", DkimKeyState.ACTIVE))
        self.assertEqual(found[1], ("sp2", DkimKeyState.RETIRED))
        with self.assertRaises(ConflictError):
            await add("sp3", DkimKeyState.NEXT)
        with self.assertRaises(NotFoundError):
            await self.accounts.set_key_state("example.com", "sp9", DkimKeyState.ACTIVE)

    async def test_a_private_key_is_not_readable_in_the_database(self) -> None:
        await self.accounts.add_key("example.com", "sp1", PEM, "p", DkimKeyState.ACTIVE, NOW)
        await self.store.close()
        for path in self.data_dir.glob("store.sqlite*"):
            self.assertNotIn(b"very private", path.read_bytes())

    async def test_a_key_moved_to_another_domain_does_not_open(self) -> None:
        await self.accounts.add_key("example.com", "sp1", PEM, "p", DkimKeyState.ACTIVE, NOW)
        moving = text("UPDATE dkim_key SET domain = 'evil.example'")
        await self.store._transactions.write(lambda tx: tx.execute(moving).rowcount)
        with self.assertRaisesRegex(UsageError, "evil.example"):
            await self.accounts.signing_key("evil.example")
