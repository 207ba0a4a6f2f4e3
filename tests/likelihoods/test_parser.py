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
from noisewalk.likelihoods.parser import ALLOWED

TEXTS = [
    ("poisson:peak=30", Poisson(30.0)),
    ("laplace:scale=0.1", Laplace(0.1)),
    ("studentt:df=4,scale=0.1", StudentT(4.0, 0.1)),
    (" studentt : scale = 1e-1 , df = 4 ", StudentT(4.0, 0.1)),
    ("unknown", UnknownGaussian()),
    ("unknown:concentration=2,rate=0.01", UnknownGaussian(2.0, 0.01)),
]


def test_a_text_is_a_likelihood_and_back():
    for text, expected in TEXTS:
        assert parse(text) == expected
        assert parse(text_of(expected)) == expected


def test_gaussian_has_its_level_beside_the_text():
    found = parse("gaussian", 0.25)
    assert isinstance(found, Gaussian)
    assert found.sigma_y == 0.25
    assert text_of(found) == "gaussian"


def test_numbers_come_back_exactly():
    for value in (1 / 3, 1e-300, 0.1, 12345.678):
        assert parse(text_of(StudentT(value, value))) == StudentT(value, value)


def test_levels_are_in_the_files_unit_and_counts_are_not():
    assert parse("gaussian", 5.0, 20.0).sigma_y == 0.25
    assert parse("laplace:scale=5", None, 20.0) == Laplace(0.25)
    assert parse("studentt:df=3,scale=5", None, 20.0) == StudentT(3.0, 0.25)
    assert parse("unknown:concentration=2,rate=200", None, 20.0) == UnknownGaussian(2.0, 0.5)
    assert parse("unknown", None, 20.0) == UnknownGaussian()
    assert parse("poisson:peak=5", None, 20.0) == Poisson(5.0)


def test_a_text_that_is_none_says_what_is_allowed():
    above = "must be a finite number above 0"
    for text, says in (
        ("", f"unknown likelihood '': choose one of {ALLOWED}"),
        ("cauchy", "unknown likelihood 'cauchy': choose one of gaussian"),
        ("gaussian:sigma_y=0.1", "--sigma-y"),
        ("poisson", r"peak must be given, as in poisson:peak=\.\.\."),
        ("poisson:30", "expected key=value, got '30'; keys of poisson: peak"),
        ("poisson:rate=30", "unknown key 'rate'; keys of poisson: peak"),
        ("poisson:peak=many", "peak must be a finite number, got 'many'"),
        ("poisson:peak=", "peak must be a finite number, got ''"),
        ("poisson:peak=0", f"Poisson's peak {above}"),
        ("poisson:peak=nan", "peak must be a finite number, got 'nan'"),
        ("poisson:peak=1,peak=2", "peak is given twice"),
        ("laplace:scale=-1", f"Laplace's scale {above}"),
        ("studentt:df=4", r"scale must be given, as in studentt:scale=\.\.\."),
        ("studentt:df=inf,scale=1", "df must be a finite number, got 'inf'"),
        ("unknown:rate=1", "concentration must be given too, or none of the keys of unknown"),
        ("unknown:sigma=1", "unknown key 'sigma'; keys of unknown: concentration, rate"),
    ):
        with pytest.raises(ConfigError, match=says) as refused:
            parse(text)
        assert "\n" not in str(refused.value)


def test_a_level_that_is_none_is_refused():
    for sigma_y in (0.0, -1.0, float("nan"), float("inf"), None):
        with pytest.raises(ConfigError, match="--sigma-y"):
            parse("gaussian", sigma_y)


def test_a_level_beside_another_likelihood_is_refused():
    for text, _ in TEXTS:
        with pytest.raises(ConfigError, match=r"--sigma-y\) is the noise level of gaussian"):
            parse(text, 0.1)


def test_a_foreign_likelihood_has_no_text():
    with pytest.raises(ConfigError, match="has no text"):
        text_of(object())
