"""How far ahead of a program a source is fetched."""

from __future__ import annotations

from worker.source.read_ahead import ReadAhead


def test_a_program_that_seeks_gets_its_block_alone() -> None:
    ahead = ReadAhead(10_000, least=1, early=16, most=32)
    assert [ahead.miss((at, at + 1)) for at in (0, 500, 9000, 300)] == [
        (0, 1),
        (500, 501),
        (9000, 9001),
        (300, 301),
    ]


def test_misses_that_go_on_bring_twice_as_much_each_time_up_to_the_most() -> None:
    ahead = ReadAhead(10_000, least=1, early=16, most=32)
    at, sizes = 0, []
    for _ in range(7):
        first, end = ahead.miss((at, at + 1))
        sizes.append(end - first)
        at = end
    assert sizes == [1, 2, 4, 8, 16, 32, 32]


def test_a_program_that_reads_on_is_never_waited_for() -> None:
    ahead = ReadAhead(10_000, least=1, early=16, most=32)
    end = 0
    while end < 31:
        _, end = ahead.miss((end, end + 1))
    assert ahead.hit((16, 17)) is None
    assert ahead.hit((24, 25)) == (31, 63)
    assert ahead.hit((40, 41)) is None


def test_two_places_in_turn_are_both_read_ahead_of() -> None:
    ahead = ReadAhead(10_000, least=1, early=16, most=32)
    for size in (1, 2, 4, 8):
        for place in (0, 5000):
            begin = place + size - 1
            assert ahead.miss((begin, begin + 1)) == (begin, begin + size)


def test_nothing_lies_behind_the_last_block() -> None:
    ahead = ReadAhead(20, least=1, early=16, most=32)
    for at in (0, 1, 3, 7, 15):
        first, end = ahead.miss((at, at + 1))
        assert end <= 20
    assert (first, end) == (15, 20)
    assert ahead.hit((19, 20)) is None


def test_what_is_left_near_the_end_comes_at_once_if_it_is_little() -> None:
    ahead = ReadAhead(10_000, least=1, early=16, most=32)
    assert ahead.miss((9_960, 9_961)) == (9_960, 9_961), "40 blocks are more than most"
    assert ahead.miss((9_970, 9_971)) == (9_970, 10_000)
    short = ReadAhead(1000, least=1, early=16, most=32)
    assert short.miss((990, 991)) == (990, 991), "a hundredth of a file is much"
    assert short.miss((997, 998)) == (997, 1000)
