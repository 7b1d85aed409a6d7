"""The numbers of commits, by which a run knows its own from any other's."""

from itertools import pairwise

from craft_ray.tables.numbers import next_number


def test_numbers_rise():
    numbers = [0]
    while len(numbers) < 100:
        numbers.append(next_number(numbers[-1]))
    assert all(before < after for before, after in pairwise(numbers))
    assert numbers[-1] < 2**32


def test_numbers_are_unique():
    assert len({next_number(7) for _ in range(20)}) >= 19
