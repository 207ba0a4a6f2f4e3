"""Arrays as astropy and others give them: one intake, the same numbers, nothing shared."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk._intake import plain, with_mask
from noisewalk.errors import ConfigError

NUMBERS = np.arange(1.0, 25.0).reshape(2, 3, 4)


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.astype("f4")
    a.flags.writeable = False
    return a


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    ">f4": lambda a: a.astype(">f4"),
    ">f8": lambda a: a.astype(">f8"),
    ">i2": lambda a: a.astype(">i2"),
    "read-only": read_only,
    "negative strides": lambda a: np.ascontiguousarray(a[::-1, ..., ::-1])[::-1, ..., ::-1],
    "fortran": np.asfortranarray,
    "uint16": lambda a: a.astype("u2"),
    "uint32": lambda a: a.astype(">u4"),
    "uint64": lambda a: a.astype("u8"),
    "longdouble": lambda a: a.astype(np.longdouble),
    "masked, all known": lambda a: np.ma.masked_invalid(a),
    "tensor of a graph": lambda a: torch.from_numpy(a.copy()).requires_grad_() * 1.0,
    "list": lambda a: a.tolist(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_numbers(form: str) -> None:
    given = FORMS[form](NUMBERS.copy())
    found = plain("y", given)
    assert torch.equal(found.double(), torch.from_numpy(NUMBERS))
    assert not found.requires_grad
    assert torch.equal((found + found).double(), torch.from_numpy(2 * NUMBERS))  # can be used
    if isinstance(given, np.ndarray):
        found.zero_()
        assert np.array_equal(given, NUMBERS)


def test_a_tensor_stays_itself_and_one_of_inference_mode_becomes_usable() -> None:
    tensor = torch.ones(3)
    assert plain("y", tensor).data_ptr() == tensor.data_ptr()
    with torch.inference_mode():
        made = plain("y", torch.ones(3))
    assert not made.is_inference()


def test_a_mask_comes_apart_and_is_an_error_where_all_must_be_known() -> None:
    masked = np.ma.masked_array([[1.0, np.nan], [3.0, 4.0]], [[False, True], [False, False]])
    found, observed = with_mask("y", masked)
    assert found.tolist() == [[1.0, 0.0], [3.0, 4.0]]
    assert observed is not None
    assert observed.tolist() == [[True, False], [True, True]]
    with pytest.raises(ConfigError, match="sigma_y has 1 masked entries"):
        nw.likelihoods.Gaussian(masked)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="draws has 1 masked entries"):
        nw.diagnostics.r_hat(masked)


@pytest.mark.parametrize("wrong", ["x", None, [1, None], {"y": 1}, [[1.0], [1.0, 2.0]]])
def test_what_holds_no_numbers_is_told(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="y must be a tensor or an array of numbers"):
        plain("y", wrong)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "list"])
def test_a_likelihood_and_a_posterior_take_every_form(form: str) -> None:
    give = FORMS[form]
    likelihood = nw.likelihoods.Gaussian(give(NUMBERS[0]))
    exact = nw.likelihoods.Gaussian(torch.from_numpy(NUMBERS[0]))
    zero = torch.zeros(2, 3, 4)
    assert torch.equal(likelihood.nll(zero, zero + 1), exact.nll(zero, zero + 1))
    phi = nw.maps.Warp((3, 4), 0.5)
    target = nw.NoisePosterior(phi, torch.nn.Identity(), exact, give(NUMBERS))
    assert torch.equal(target.y.double(), torch.from_numpy(NUMBERS))
    assert target.y.dtype in (torch.float32, torch.float64)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "list"])
def test_diagnostics_take_every_form(form: str) -> None:
    draws = np.round(np.random.default_rng(0).normal(50, 9, (2, 8, 3)))
    give, tensor = FORMS[form], torch.from_numpy(draws)
    for function in (nw.diagnostics.r_hat, nw.diagnostics.ess_bulk, nw.diagnostics.jump):
        assert torch.equal(function(give(draws)), function(tensor))
    truth = np.ascontiguousarray(draws[:, 0])
    found, exact = (nw.diagnostics.coverage(t, d) for t, d in
                    ((truth, give(draws)), (torch.from_numpy(truth), tensor)))  # fmt: skip
    assert torch.equal(found.empirical, exact.empirical)
    chi2 = nw.diagnostics.chi2(give(draws).reshape(2, 8, 3), 2.0)
    assert torch.equal(chi2, nw.diagnostics.chi2(tensor, 2.0))


def test_a_mask_in_y_means_not_observed() -> None:
    y = np.ma.masked_array(np.ones((1, 3, 4), ">f4"), np.zeros((1, 3, 4), bool))
    y[0, 1, 2], y[0, 0, 0] = np.ma.masked, np.nan
    observed = np.ones((1, 3, 4), bool)
    observed[0, 0, 0] = False
    parts = nw.maps.Warp((3, 4), 0.5), torch.nn.Identity(), nw.likelihoods.Gaussian(0.3)
    target = nw.NoisePosterior(*parts, y, observed)  # type: ignore[arg-type]
    assert int(target.num_observed) == 10
    assert not target.observed[0, 1, 2]
    assert not target.observed[0, 0, 0]
    assert (target.y.dtype, float(target.y.sum())) == (torch.float32, 10.0)
    alone = nw.NoisePosterior(*parts, np.ma.masked_invalid(y))  # type: ignore[arg-type]
    assert int(alone.num_observed) == 10


def test_a_mask_of_astropys_own_containers_is_read() -> None:
    astropy = pytest.importorskip("astropy.utils.masked", reason="needs astropy")
    from astropy.units import Jy

    values, mask = np.ones((1, 3, 4), "f4"), np.zeros((1, 3, 4), bool)
    values[0, 1, 2], mask[0, 1, 2] = 99.0, True
    parts = nw.maps.Warp((3, 4), 0.5), torch.nn.Identity(), nw.likelihoods.Gaussian(0.3)
    for y in (astropy.Masked(values, mask=mask), astropy.Masked(values * Jy, mask=mask)):
        target = nw.NoisePosterior(*parts, y)
        assert (int(target.num_observed), float(target.y.max())) == (11, 1.0)
        with pytest.raises(ConfigError, match="1 masked entries"):
            nw.likelihoods.Gaussian(y)


def test_a_y_of_a_graph_leaves_it_at_the_border() -> None:
    weight = torch.full((1, 3), 2.0, requires_grad=True)
    y = weight * 0.5
    phi, identity = nw.maps.Warp((3,), 0.5), torch.nn.Identity()
    target = nw.NoisePosterior(phi, identity, nw.likelihoods.Gaussian(weight[0] * 0.1), y)
    run = nw.sample(target, nw.Langevin(0.1), 5, warm_start=None, progress=False)
    assert run.y is not None
    assert not run.y.requires_grad
    assert run.y.grad_fn is None
    assert copy.deepcopy(target).y.tolist() == [[1.0] * 3]
    assert run.to_arviz()["observed_data"]["y"].values.tolist() == [[1.0] * 3]


LIKELIHOODS = {
    "gaussian": (nw.likelihoods.Gaussian(0.5), [0.2, -0.1]),
    "poisson": (nw.likelihoods.Poisson(20.0), [9.0, 12.0]),
    "laplace": (nw.likelihoods.Laplace(0.5), [0.2, -0.1]),
    "student-t": (nw.likelihoods.StudentT(5.0, 0.5), [0.2, -0.1]),
    "unknown": (nw.likelihoods.UnknownGaussian(2.0, 0.5), [0.2, -0.1]),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_one_number_an_image_is_a_measurement(name: str) -> None:
    likelihood, y = LIKELIHOODS[name]
    phi = nw.maps.Warp((3,), 0.5)
    flat = nw.NoisePosterior(phi, lambda x: x.mean(1), likelihood, torch.tensor(y))
    column = nw.NoisePosterior(
        phi, lambda x: x.mean(1, keepdim=True), likelihood, torch.tensor(y)[:, None]
    )
    z = nw.noise.rows(0, 4).normal((3,), nw.noise.PROBE)
    for one, other in zip(flat(z), column(z), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(flat.chi2(flat(z).x).nan_to_num(), column.chi2(column(z).x).nan_to_num())
    assert flat.num_observed.tolist() == column.num_observed.tolist() == [1, 1]
    assert torch.equal(flat.simulate(z[:2]), column.simulate(z[:2])[:, 0])
    mean, jvp, vjp = flat.linearize(z)
    assert torch.equal(flat.curvature(mean), column.curvature(mean[:, None])[:, 0])
    assert torch.equal(vjp(jvp(z)), column.linearize(z)[2](jvp(z)[:, None]))
    gap = nw.NoisePosterior(phi, lambda x: x.mean(1), likelihood, torch.tensor(y),
                            observed=torch.tensor([True, True]))  # fmt: skip
    assert gap.num_observed.tolist() == [1, 1]
    run = nw.sample(flat, num_draws=4, num_chains=2, num_warmup=8, warm_start=None, progress=False)
    assert run.draws.shape == (2, 2, 4, 3)
    assert run.to_arviz()["observed_data"]["y"].shape == (2,)
