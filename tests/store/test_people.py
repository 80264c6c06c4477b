"""IPeople over the database."""

from __future__ import annotations

from smtpplus.values.errors import ConflictError, NotFoundError
from smtpplus.values.submission import Person, Role
from tests.store.samples import NOW, StoreCase


class PeopleTests(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.people = self.open_blocking().people

    async def _person(self, email: str = "Ann@Example.com", secret: str | None = "h") -> Person:
        return await self.people.add_person(email, Role.OPERATOR, None, secret, NOW)

    async def test_an_email_is_taken_whatever_its_case(self) -> None:
        ann = await self._person()
        with self.assertRaisesRegex(ConflictError, "ann@example.com"):
            await self._person("ann@example.com")
        bob = await self._person("bob@example.com", None)
        self.assertEqual(await self.people.people(), [ann, bob])
        self.assertEqual((ann.has_password, bob.has_password), (True, False))

    async def test_the_password_of_who_has_one(self) -> None:
        ann = await self._person()
        bob = await self._person("bob@example.com", None)
        self.assertEqual(await self.people.password_hash("ANN@example.com"), (ann, "h"))
        self.assertIsNone(await self.people.password_hash("bob@example.com"))
        self.assertIsNone(await self.people.password_hash("eve@example.com"))
        await self.people.set_password(bob.id, "new")
        found = await self.people.password_hash("bob@example.com")
        assert found is not None
        self.assertEqual(found[1], "new")
        with self.assertRaises(NotFoundError):
            await self.people.set_password(99, "new")

    async def test_a_sign_in_link_works_once_and_not_when_it_expired(self) -> None:
        ann = await self._person()
        await self.people.add_sign_in(b"one", ann.id, NOW + 10)
        await self.people.add_sign_in(b"old", ann.id, NOW)
        self.assertEqual(await self.people.use_sign_in(b"one", NOW), ann)
        self.assertIsNone(await self.people.use_sign_in(b"one", NOW))
        self.assertIsNone(await self.people.use_sign_in(b"old", NOW))
        self.assertIsNone(await self.people.use_sign_in(b"none", NOW))

    async def test_a_session_lives_until_it_ends(self) -> None:
        ann = await self._person()
        await self.people.add_session(b"one", ann.id, "csrf", NOW + 10)
        self.assertEqual(await self.people.session(b"one", NOW), (ann, "csrf"))
        self.assertIsNone(await self.people.session(b"one", NOW + 10))
        self.assertIsNone(await self.people.session(b"two", NOW))
        await self.people.end_session(b"one")
        self.assertIsNone(await self.people.session(b"one", NOW))

    async def test_W8_a_new_password_ends_every_session(self) -> None:
        ann = await self._person()
        await self.people.add_session(b"one", ann.id, "csrf", NOW + 10)
        await self.people.set_password(ann.id, "new")
        self.assertIsNone(await self.people.session(b"one", NOW))
