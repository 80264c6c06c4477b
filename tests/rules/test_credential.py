from __future__ import annotations

import re
import secrets

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.credential import new_secret


class SecretTests(SynchronousTestCase):
    def test_A10_secrets_are_random_and_need_no_quoting(self) -> None:
        made = {new_secret(secrets.token_bytes) for _ in range(1000)}
        self.assertEqual(len(made), 1000)
        for secret in made:
            self.assertTrue(
                re.fullmatch(r"[a-hjkmnp-z2-9]{6}(-[a-hjkmnp-z2-9]{6}){3}", secret), secret
            )
        self.assertEqual(len(set("".join(made))), 31 + 1)

    def test_the_same_randomness_gives_the_same_secret(self) -> None:
        self.assertEqual(new_secret(bytes), "aaaaaa-aaaaaa-aaaaaa-aaaaaa")
