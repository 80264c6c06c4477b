"""DNS answers are kept for their time and no longer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.dns_cache import DnsCache

MX = ("example.org", "MX")


class DnsCacheTests(SynchronousTestCase):
    def test_kept_for_its_ttl(self) -> None:
        cache: DnsCache[str] = DnsCache()
        cache.put(MX, "answer", 60, now=1_000)
        self.assertEqual(cache.get(MX, 1_059.9), "answer")
        self.assertIsNone(cache.get(MX, 1_060))
        self.assertEqual(len(cache), 0)

    def test_ttls_are_bounded(self) -> None:
        cache: DnsCache[str] = DnsCache(least_seconds=5, most_seconds=100)
        cache.put(MX, "short", 0, now=0)
        self.assertEqual(cache.get(MX, 4), "short")
        self.assertIsNone(cache.get(MX, 5))
        cache.put(MX, "long", 10**9, now=0)
        self.assertIsNone(cache.get(MX, 100))

    def test_the_longest_unused_goes_first(self) -> None:
        cache: DnsCache[int] = DnsCache(most=3)
        for number in range(3):
            cache.put((str(number), "A"), number, 60, now=0)
        cache.get(("0", "A"), 1)
        cache.put(("3", "A"), 3, 60, now=1)
        self.assertEqual([cache.get((str(n), "A"), 2) for n in range(4)], [0, None, 2, 3])
