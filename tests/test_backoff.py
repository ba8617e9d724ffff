from threads.backoff import Backoff


def test_waits_double_up_to_a_minute_and_chance_takes_off_up_to_a_half() -> None:
    backoff = Backoff(1.0)
    waits = [backoff.next_s() for _ in range(60)]
    for wait_s, longest_s in zip(waits, [1, 2, 4, 8, 16, 32] + [60] * 54, strict=True):
        assert longest_s / 2 <= wait_s <= longest_s
    assert len(set(waits[10:])) > 40, "no two programs try in the same rhythm"


def test_after_a_success_it_begins_anew() -> None:
    backoff = Backoff(1.0, jitter=0.0)
    assert [backoff.next_s() for _ in range(3)] == [1.0, 2.0, 4.0]
    backoff.reset()
    assert backoff.next_s() == 1.0


def test_the_first_tries_may_have_a_shorter_longest_wait() -> None:
    backoff = Backoff(1.0, 30.0, jitter=0.0, early_tries=3, early_longest_s=2.0)
    assert [backoff.next_s() for _ in range(8)] == [1.0, 2.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
