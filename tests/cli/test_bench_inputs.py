"""The sizes and the rows of a benchmark, from its options."""

from noisewalk.cli.bench import BenchOptions
from noisewalk.cli.bench_inputs import sizes_of, without_exact


def test_a_table_of_the_paper_has_100_images():
    assert sizes_of(BenchOptions("table1", paper=True), None)[:2] == (100, 10)
    assert sizes_of(BenchOptions("table3", paper=True), None)[:2] == (100, 25)


def test_the_exact_kernels_rows_are_of_several_images_or_asked_for(capsys):
    def of(what, rows=None, **options):
        return sizes_of(BenchOptions(what, **options), rows).exact

    assert (of("table1"), of("table3", num_images=16), of("table3")) == (2, 2, 0)
    asked = of("table3", num_exact=1), of("table3", rows=("ours1-exact",)), of("figure3")
    assert asked == (1, 1, 1)
    rows = without_exact("table3")
    assert "--num-exact" in capsys.readouterr().out
    assert "ours2-em" in rows
    assert "dps-dm" in rows
    assert not any(row.endswith("exact") for row in rows)
    assert without_exact("tableA4")
    assert capsys.readouterr().out == ""  # which has no such rows
