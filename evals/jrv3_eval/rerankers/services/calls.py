"""Several calls at once, with results in the order that was asked; and a limit on one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _Failed:
    """What a call raised in its thread."""

    error: BaseException


def in_parallel(call: Callable[[int, threading.Event], T], count: int, concurrency: int) -> list[T]:
    """`call(0, stop)` ... `call(count - 1, stop)`, at most `concurrency` at once; results in order.

    The first call that raises ends it: `stop` is set, no further call starts, and the error is
    raised here without waiting for those under way. So does Ctrl-C. Calls should look at `stop`.
    """
    stop = threading.Event()
    if count <= 1 or concurrency <= 1:
        return [call(i, stop) for i in range(count)]
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, T | _Failed]] = queue.SimpleQueue()
    for i in range(count):
        waiting.put(i)

    def work() -> None:
        while not stop.is_set():
            try:
                i = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((i, call(i, stop)))
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
                done.put((i, _Failed(error)))

    results: dict[int, T] = {}
    try:
        for _ in range(min(count, concurrency)):
            threading.Thread(target=work, daemon=True).start()  # the program may end before it
        while len(results) < count:
            i, result = done.get()
            if isinstance(result, _Failed):
                raise result.error
            results[i] = result
    finally:
        stop.set()
    return [results[i] for i in range(count)]


def within(seconds: float, call: Callable[[], T]) -> T:
    """What `call()` returns or raises, or TimeoutError after these seconds.

    The call runs in a thread of its own, since looking up a name and reading bytes that trickle
    in cannot be ended from outside: a late one is left behind, and does not keep the program up.
    """
    done: queue.SimpleQueue[T | _Failed] = queue.SimpleQueue()

    def work() -> None:
        try:
            done.put(call())
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            done.put(_Failed(error))

    threading.Thread(target=work, daemon=True).start()
    try:
        result = done.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(result, _Failed):
        raise result.error
    return result
