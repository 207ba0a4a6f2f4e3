"""The order of an operator's steps, in words."""

import pytest

from noisewalk import operators
from noisewalk.operators.order import in_words, out_of_order

SHAPE = (1, 32, 32)


@pytest.mark.parametrize(
    ("text", "said", "wrong"),
    [
        ("identity", "x is measured as it is", False),
        ("blur:std=2+avgpool:factor=4", "x is blurred, then averaged over 4 x 4 pixels", False),
        ("avgpool:factor=4+blur:std=1", "x is averaged over 4 x 4 pixels, then blurred", True),
        (
            "box:top=1,left=1,height=2,width=2+blur:std=1",
            "x is hidden in a box, then blurred",
            True,
        ),
        ("hdr:factor=2+inpaint:keep=0.5", "x is multiplied by 2 and clipped, then hidden", False),
        ("blur:std=1+blur:std=2", "x is blurred, then blurred", False),
    ],
)
def test_the_steps_are_told_in_order_and_doubted_where_light_goes_the_other_way(
    text: str, said: str, wrong: bool
) -> None:
    operator = operators.parse(text, SHAPE)
    assert in_words(operator).startswith(said)
    assert (out_of_order(operator) is not None) == wrong


def test_anybodys_operator_is_a_transformation() -> None:
    operator = operators.Compose([lambda x: x, operators.AveragePool(2)])
    assert in_words(operator) == "x is transformed, then averaged over 2 x 2 pixels"
    assert out_of_order(operator) is None


def test_every_operator_that_has_a_text_is_known() -> None:
    from noisewalk.operators.order import STEPS
    from noisewalk.operators.parser import CLASSES

    assert set(CLASSES.values()) - set(STEPS) == {operators.Identity}
