"""Law: an estimate says what is left to do."""

from noisewalk.evaluate.paper.estimate import duration, estimate
from noisewalk.evaluate.paper.grid import Grid, pending


def test_the_estimate_says_what_is_left(make_bench, complete):
    bench, grid = make_bench(), Grid(("sr",), ("dps-dm", "ours1-em"), 2, 1)
    line = estimate(bench, grid, pending(bench, grid))
    assert line.startswith(
        f"4 cells to compute, 0 stored; NFE about {2 * (4 * 3 + 1 + 2 + 4)}; about "
    )
    complete(bench, grid)
    assert estimate(bench, grid, pending(bench, grid)) == "all 4 cells are stored"


def test_durations_are_for_people():
    assert [duration(s) for s in (3.2, 600, 9000)] == ["3 s", "10 min", "2.5 h"]
