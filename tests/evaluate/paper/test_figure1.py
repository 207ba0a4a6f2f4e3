"""Law: figure 1 is of a real run."""

from noisewalk.evaluate.paper.figure1 import figure1


def test_figure1_is_of_a_real_run(drawn, tmp_path):
    numbers = figure1(tmp_path / "figure1.png", num_draws=6)
    assert drawn(tmp_path / "figure1.png")
    assert numbers["nfe"] == 1 + 50 + 6
