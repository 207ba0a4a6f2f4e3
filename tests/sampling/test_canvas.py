"""The parts that figures are made of."""

import numpy as np
from matplotlib.figure import Figure

from noisewalk.sampling import canvas


def test_a_figure_shows_itself_in_a_notebook():
    found = canvas.figure(4, 2, "a title " * 30)
    assert isinstance(found, Figure)
    assert max(map(len, found.get_suptitle().splitlines())) <= 46
    assert found._repr_png_()[:4] == b"\x89PNG"


def test_an_empty_figure_holds_its_reason():
    assert canvas.empty("– too short").axes[0].texts[0].get_text() == "– too short"


def test_pictures_keep_their_limits_and_their_first_row():
    axes = canvas.figure(4, 2).subplots(1, 3)
    grey = canvas.picture(axes[0], np.zeros((1, 2, 2)), (-2.0, 3.0), "a", "lower")
    assert grey.get_clim() == (-2.0, 3.0)
    assert grey.origin == "lower"
    colour = canvas.picture(axes[1], np.zeros((3, 2, 2)), (-1.0, 1.0), "b", "upper")
    assert colour.get_array().shape == (2, 2, 3)
    hot = canvas.heat(axes[2], np.ones((2, 2)), 4.0, "c", "upper")
    assert hot.get_clim() == (0.0, 4.0)
    assert [a.get_title(loc="left") for a in axes] == ["a", "b", "c"]


def test_a_bar_has_the_label_and_the_limits():
    found = canvas.figure(4, 2)
    axes = found.subplots()
    shown = canvas.picture(axes, np.zeros((3, 2, 2)), (0.0, 5.0), "", "upper")
    canvas.bar(found, shown, axes, "value in K", (0.0, 5.0))
    assert found.axes[-1].get_xlabel() == "value in K"
    assert found.axes[-1].get_xlim() == (0.0, 5.0)
