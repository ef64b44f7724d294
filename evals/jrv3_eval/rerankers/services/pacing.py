"""When a call may start: a service's limits a minute, waits between tries."""

from __future__ import annotations

import email.utils
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

LONGEST_WAIT = 120.0  # seconds; what a server asks for beyond it is not waited for
_LONGEST_BACKOFF = 60.0
_chance = random.Random()  # of its own: a user's seed is left alone


class Pace:
    """Spaces calls evenly so that requests and tokens a minute stay within limits.

    Threads may share it. clock: seconds, never going back.
    """

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds_per_request = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._seconds_per_token = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._requests_free = self._tokens_free = self._held = 0.0

    def enter(self, tokens: int, wait: Callable[[float], None]) -> None:
        """Wait until a call that takes about this many tokens may start.

        wait: called with seconds. A pause that began meanwhile takes the slot away: then another
        one is waited for.
        """
        while True:
            start, seconds = self._slot(tokens)
            wait(seconds)
            with self._lock:
                if start >= self._held:
                    return

    def reserve(self, tokens: int = 0) -> float:
        """Seconds to wait before a call that takes about this many tokens may start."""
        return self._slot(tokens)[1]

    def _slot(self, tokens: int) -> tuple[float, float]:
        """When a call may start, on the clock, and the seconds until then."""
        with self._lock:
            now = self._clock()
            start = max(now, self._requests_free, self._tokens_free, self._held)
            self._requests_free = start + self._seconds_per_request
            self._tokens_free = start + tokens * self._seconds_per_token
            return start, start - now

    def correct(self, expected: int, taken: int) -> None:
        """After a call: it took other tokens than expected."""
        with self._lock:
            self._tokens_free += (taken - expected) * self._seconds_per_token

    def hold(self, seconds: float) -> None:
        """Let no further call start for these seconds: the server asked for a pause."""
        with self._lock:
            self._held = max(self._held, self._clock() + seconds)


def backoff(attempt: int, first: float = 1.0) -> float:
    """Seconds before the next try after the attempt-th failure (from 0): doubling, with jitter."""
    longest: float = min(first * 2.0**attempt, _LONGEST_BACKOFF)
    return longest * _chance.uniform(0.5, 1.0)


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for, a number or an HTTP date; None if neither."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(header)
            if date.tzinfo is None:
                date = date.replace(tzinfo=UTC)
            seconds = (date - (now or datetime.now(UTC))).total_seconds()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None
