from collections import Counter

from benchmarks.flame import own_samples, shares


def test_samples_count_for_the_innermost_function_only() -> None:
    own = own_samples(["main;loop;infer 6", "main;loop;resize 3", "main;loop 1", ""])
    assert own == Counter(infer=6, resize=3, loop=1)
    assert shares(own).splitlines() == [" 60.0 %  infer", " 30.0 %  resize", " 10.0 %  loop"]


def test_threads_that_wait_do_not_count() -> None:
    waiting = [
        "crew;_worker (concurrent/futures/thread.py:81) 9",
        "Condition.wait (threading.py:3) 9",
    ]
    assert own_samples([*waiting, "main;infer 2"]) == Counter(infer=2)
