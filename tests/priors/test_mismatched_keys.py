"""What does not fit is told key by key, in one line."""

from noisewalk.priors.mismatched_keys import listed, misfits


def test_every_kind_of_misfit_is_told() -> None:
    expected, found = {"a": (1,), "b": (2, 3), "c": ()}, {"b": (3, 2), "c": (), "d": (1,)}
    assert misfits(expected, found) == [
        "missing a",
        "unexpected d",
        "b has shape (3, 2), expected (2, 3)",
    ]
    assert misfits(expected, expected) == []


def test_the_first_ones_are_named_and_the_others_counted() -> None:
    assert listed(["a", "b"], most=2) == "a; b"
    assert listed(["a", "b", "c"], most=1) == "a; and 2 more"
