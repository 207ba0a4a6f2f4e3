import pytest

from noisewalk.errors import ConfigError
from noisewalk.likelihoods import (
    Gaussian,
    Laplace,
    Poisson,
    StudentT,
    UnknownGaussian,
    parse,
    text_of,
)

TEXTS = [
    ("poisson:peak=30", Poisson(30.0)),
    ("laplace:scale=0.1", Laplace(0.1)),
    ("studentt:df=4,scale=0.1", StudentT(4.0, 0.1)),
    (" studentt : scale = 1e-1 , df = 4 ", StudentT(4.0, 0.1)),
    ("unknown", UnknownGaussian()),
    ("unknown:concentration=2,rate=0.01", UnknownGaussian(2.0, 0.01)),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_a_text_is_a_likelihood_and_back(text, expected):
    assert parse(text) == expected
    assert parse(text_of(expected)) == expected


def test_gaussian_has_its_level_beside_the_text():
    found = parse("gaussian", 0.25)
    assert isinstance(found, Gaussian)
    assert found.sigma_y == 0.25
    assert text_of(found) == "gaussian"


@pytest.mark.parametrize("value", [1 / 3, 1e-300, 0.1, 12345.678])
def test_numbers_come_back_exactly(value):
    assert parse(text_of(StudentT(value, value))) == StudentT(value, value)


def test_levels_are_in_the_files_unit_and_counts_are_not():
    assert parse("gaussian", 5.0, 20.0).sigma_y == 0.25
    assert parse("laplace:scale=5", None, 20.0) == Laplace(0.25)
    assert parse("studentt:df=3,scale=5", None, 20.0) == StudentT(3.0, 0.25)
    assert parse("unknown:concentration=2,rate=200", None, 20.0) == UnknownGaussian(2.0, 0.5)
    assert parse("unknown", None, 20.0) == UnknownGaussian()
    assert parse("poisson:peak=5", None, 20.0) == Poisson(5.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "",
            "choose one of gaussian, poisson:peak=P, laplace:scale=S, studentt:df=D,scale=S, "
            "unknown",
        ),
        ("cauchy", "unknown likelihood 'cauchy': choose one of gaussian"),
        ("gaussian:sigma_y=0.1", "--sigma-y"),
        ("poisson", "poisson needs peak: give poisson:peak=..."),
        ("poisson:30", r"poisson takes peak=\.\.\., got '30'"),
        ("poisson:rate=30", r"poisson takes peak=\.\.\., got 'rate=30'"),
        ("poisson:peak=many", "peak must be a number, got 'many'"),
        ("poisson:peak=", "peak must be a number, got ''"),
        ("poisson:peak=0", "Poisson's peak must be a positive finite number"),
        ("poisson:peak=nan", "Poisson's peak must be a positive finite number"),
        ("poisson:peak=1,peak=2", "given twice"),
        ("laplace:scale=-1", "Laplace's scale must be a positive finite number"),
        ("studentt:df=4", "studentt needs scale: give studentt:df=...,scale=..."),
        ("studentt:df=inf,scale=1", "StudentT's df must be a positive finite number"),
        ("unknown:rate=1", "unknown needs concentration"),
        ("unknown:sigma=1", r"unknown takes concentration=\.\.\., rate=\.\.\., got 'sigma=1'"),
    ],
)
def test_a_text_that_is_none_says_what_is_allowed(text, says):
    with pytest.raises(ConfigError, match=says) as refused:
        parse(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("sigma_y", [0.0, -1.0, float("nan"), float("inf"), None])
def test_a_level_that_is_none_is_refused(sigma_y):
    with pytest.raises(ConfigError, match="--sigma-y"):
        parse("gaussian", sigma_y)


@pytest.mark.parametrize("text", [text for text, _ in TEXTS])
def test_a_level_beside_another_likelihood_is_refused(text):
    with pytest.raises(ConfigError, match=r"--sigma-y\) is the noise level of gaussian"):
        parse(text, 0.1)


def test_a_foreign_likelihood_has_no_text():
    with pytest.raises(ConfigError, match="has no text"):
        text_of(object())
