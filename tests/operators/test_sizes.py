"""The shape of x from that of y, for operators whose y has other sides."""

import numpy as np
import pytest

from noisewalk.errors import ConfigError
from noisewalk.operators import output_shape_of, parse
from noisewalk.operators.sizes import shape_before

TEXTS = [
    "identity",
    "avgpool:factor=4",
    "avgpool:factor=3,edge=pad",
    "hdr:factor=2+avgpool:factor=2+avgpool:factor=3",
    "conv:k.npy,normalize=true",
    "conv:k.npy,normalize=true,boundary=valid+avgpool:factor=2",
    "phase:oversample=1.5",
    "avgpool:factor=2+inpaint:keep=0.5",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_measured_of_that_shape_has_the_given_one(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("k.npy", np.ones((5, 3)))
    for sides in ((24, 48), (28, 26)):
        shape = (3, *sides)
        try:
            y = output_shape_of(parse(text, shape), shape)
        except ConfigError:  # sides that the operator does not take
            continue
        found = shape_before(text, y)
        assert output_shape_of(parse(text, found), found) == y


def test_a_cropped_edge_is_given_back_as_far_as_it_may_go():
    assert shape_before("avgpool:factor=3,edge=crop", (1, 10, 12)) == (1, 32, 38)
