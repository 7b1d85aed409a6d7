"""The numbers of commits, by which a run knows its own from any other's."""

from itertools import pairwise

from craft_ray.tables.numbers import next_number


def test_numbers_rise_and_stay_within_what_delta_holds():
    numbers = [0]
    while len(numbers) < 100:
        numbers.append(next_number(numbers[-1]))
    assert all(before < after for before, after in pairwise(numbers))
    assert numbers[-1] < 2**32


def test_two_processes_that_go_on_from_one_number_come_to_two():
    assert len({next_number(7) for _ in range(20)}) >= 19
