"""Generations on one model take turns: first come, first served."""

from __future__ import annotations

import threading
import time

from shoestring.engines.transformers.turns import Turns


def never() -> bool:
    return False


def wait_until_queued(turns: Turns, n: int) -> None:
    while len(turns._queue) < n:
        time.sleep(0.001)


def test_turns_are_given_in_the_order_they_were_asked_for() -> None:
    turns, order = Turns(), []

    def take(name: int) -> None:
        with turns.turn(never):
            order.append(name)

    threads = [threading.Thread(target=take, args=(n,)) for n in range(5)]
    with turns.turn(never):
        for n, thread in enumerate(threads):
            thread.start()
            wait_until_queued(turns, n + 2)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_whoever_gives_up_while_waiting_gets_no_turn_and_holds_up_nobody() -> None:
    turns, gave_up, got = Turns(), threading.Event(), []

    def take(cancelled: threading.Event) -> None:
        with turns.turn(cancelled.is_set) as is_ours:
            got.append(is_ours)

    patient = threading.Thread(target=take, args=(threading.Event(),))
    impatient = threading.Thread(target=take, args=(gave_up,))
    with turns.turn(never):
        impatient.start()
        wait_until_queued(turns, 2)
        patient.start()
        wait_until_queued(turns, 3)
        gave_up.set()
        impatient.join()
        assert got == [False]
    patient.join()
    assert got == [False, True]


def test_a_turn_that_was_cancelled_before_it_began_is_not_given() -> None:
    with Turns().turn(lambda: True) as is_ours:
        assert not is_ours


def test_a_turn_ends_with_an_error_too() -> None:
    turns = Turns()
    try:
        with turns.turn(never):
            raise KeyError
    except KeyError:
        pass
    with turns.turn(never) as is_ours:
        assert is_ours
