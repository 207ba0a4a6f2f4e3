"""Law: figure 2 shows what was measured."""

import json

from noisewalk.evaluate.paper import figure2 as module
from noisewalk.evaluate.paper.figure2 import estimate2, figure2


def test_effective_samples_are_shared_out_over_the_run(make_bench, monkeypatch):
    """A chain that makes one effective sample in four draws has made 2 of them after 8, whatever
    its first draws look like."""
    monkeypatch.setattr(
        module, "image_diagnostics", lambda x: {"ess_bulk_median": 0.25 * x.shape[1]}
    )
    found = module.exact_curve(make_bench(), (1, 2, 40))
    last = found["nfe"][1] - found["nfe"][0]
    assert found["samples"] == [1, 2]
    assert last == 4 * 4 * 8  # draws, chains and leapfrogs


def test_figure2_measures_what_it_says_and_keeps_it(drawn, make_bench):
    bench = make_bench(num_samples=10)
    assert "NFE about" in estimate2(bench, (1, 5, 10))
    ticks = list(figure2(bench, (1, 5, 10)))
    curves = [json.loads((bench.out / "figure2" / f"{k}.json").read_text()) for k in range(4)]
    guided, paper, exact, short = curves
    assert guided["nfe"] == [3, 15, 30]
    assert paper["nfe"] == [1 + 2 + n for n in (1, 5, 10)]  # one call per further draw
    assert sorted(paper["seconds"]) == paper["seconds"]
    assert exact["samples"] == [n for n in (1, 5, 10) if n <= (exact["ess"] or 0)]
    assert short["samples"] == [1, 5, 10]
    assert short["nfe"][0] < short["nfe"][1] < short["nfe"][2]
    assert drawn(bench.out / "figure2.png")
    assert [t.done for t in ticks] == [0, 1, 2, 3, 4]
    before = (bench.out / "figure2" / "0.json").stat().st_mtime_ns
    list(figure2(bench, (1, 5, 10)))
    assert (bench.out / "figure2" / "0.json").stat().st_mtime_ns == before
