"""R-hat, ESS, MCSE and jump: equal to arviz-stats, and right where the answer is known."""

import functools
import math

import numpy as np
import pytest
import torch
from ar1_chains import ESTIMATORS, ar1

from noisewalk.errors import ConfigError
from noisewalk.evaluate.diagnostics import (
    boxes,
    chains,
    ess_bulk,
    ess_tail,
    image_diagnostics,
    jump,
    r_hat,
)


def test_fewer_than_four_draws_are_nan():
    for estimator in (*ESTIMATORS, jump):
        for num_draws in (0, 1, 2, 3):
            got = estimator(ar1(2, num_draws, 6, 0.0).reshape(2, num_draws, 3, 2))
            assert got.shape == (3, 2)
            assert got.isnan().all()


@pytest.mark.parametrize("estimator", [*ESTIMATORS, jump])
def test_order_of_chains_shape_and_blocks_do_not_matter(estimator, monkeypatch):
    x = torch.from_numpy(ar1(4, 40, 12, 0.5))
    expected = estimator(x)
    close = functools.partial(torch.testing.assert_close, rtol=1e-12, atol=0)
    close(estimator(x[[2, 0, 3, 1]]), expected)
    close(estimator(x.reshape(4, 40, 3, 2, 2)), expected.reshape(3, 2, 2))
    close(estimator(x[..., 5]), expected[5])
    monkeypatch.setattr(boxes, "BLOCK", 5 * 160)
    close(estimator(x), expected)


def test_jump_of_an_ar1_chain_is_one_minus_rho():
    for rho in (-0.5, 0.0, 0.7):
        values = jump(ar1(4, 250, 200, rho))
        error = float(values.std()) / math.sqrt(200)
        # A ratio of averages over about 1000 (1 - rho) / (1 + rho) independent draws: bias of
        # that order.
        assert abs(float(values.mean()) - (1 - rho)) < 5 * error + (1 + rho) / (1 - rho) / 500


def test_jump_of_stuck_chains_is_zero_and_of_equal_draws_nan():
    stuck = torch.tensor([0.1, 0.7])[:, None, None].expand(2, 10, 1)
    assert jump(stuck) == 0
    assert jump(torch.full((2, 10, 1), 0.1)).isnan().all()


def test_jump_takes_a_reference_variance():
    x = torch.from_numpy(ar1(2, 50, 3, 0.0))
    pooled = x.flatten(0, 1).var(0)
    torch.testing.assert_close(jump(x, variance=4 * pooled), jump(x) / 4, rtol=1e-12, atol=0)


def test_varying_leaves_out_pixels_that_hardly_move():
    x = torch.from_numpy(ar1(2, 50, 3, 0.0)) * torch.tensor([1.0, 1e-4, 0.0])
    assert chains.varying(x).tolist() == [True, False, False]
    assert chains.varying(x, tol=1e-5).tolist() == [True, True, False]
    assert not chains.varying(torch.ones(2, 50, 3)).any()


def test_projections_are_unit_norm_linear_and_keyed():
    state = torch.get_rng_state()
    size, num = 48, 10
    directions = chains.projections(torch.eye(size).reshape(1, size, 3, 4, 4), num=num)[0].T
    torch.testing.assert_close(
        directions.norm(dim=1), torch.ones(num, dtype=torch.float64), rtol=1e-12, atol=0
    )
    x = torch.from_numpy(ar1(2, 9, size, 0.0)).reshape(2, 9, 3, 4, 4)
    got = chains.projections(x, num=num)
    torch.testing.assert_close(got, x.flatten(2) @ directions.T, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(chains.projections(x, num=4), got[..., :4], rtol=1e-10, atol=1e-12)
    assert (chains.projections(x, num=num, seed=1) - got).abs().min() > 0
    assert torch.equal(torch.get_rng_state(), state)


def test_projections_are_looked_at_a_few_at_a_time_where_there_are_many_draws(monkeypatch):
    x = torch.randn(2, 30, 1, 3, 4, generator=torch.Generator().manual_seed(0))
    want = image_diagnostics(x)
    monkeypatch.setattr(chains, "BLOCK", 60 * 10)
    assert image_diagnostics(x) == pytest.approx(want, rel=1e-10)
    last = chains.projections(x, 8)[..., 5:]  # a product of other sizes may round otherwise
    torch.testing.assert_close(chains.projections(x, 3, first=5), last, rtol=1e-12, atol=1e-14)


def test_projections_repeat_exactly_with_the_draw(monkeypatch):
    monkeypatch.setattr(chains, "BLOCK", 700)
    x = torch.randn(2, 30, 100, generator=torch.Generator().manual_seed(0))
    x[:, 7:20] = x[:, 7:8]
    got = chains.projections(x)
    assert torch.equal(got[:, 7:20], got[:, 7:8].expand(-1, 13, -1))
    assert (got[:, 21] != got[:, 20]).all()


def test_projections_of_independent_draws_are_standard_normal():
    x = torch.randn(4, 500, 40, generator=torch.Generator().manual_seed(0))
    variance = chains.projections(x, num=16).flatten(0, 1).var(0)
    assert (variance - 1).abs().max() < 5 * math.sqrt(2 / 2000)


def test_image_diagnostics_of_mixed_chains():
    x = torch.from_numpy(ar1(4, 200, 64, 0.0)).reshape(4, 200, 1, 8, 8).clone()
    x[..., 0, :] = -1.0  # a constant border says nothing
    x[..., 1, :] *= 1e-6
    got = image_diagnostics(x)
    assert set(got) == {
        "r_hat_max",
        "r_hat_median",
        "ess_bulk_min",
        "ess_bulk_median",
        "ess_tail_min",
        "jump",
    }
    inner = r_hat(x[..., 2:, :])
    assert inner.max() <= got["r_hat_max"] < 1.05
    assert got["r_hat_median"] < 1.01
    assert got["ess_bulk_min"] <= ess_bulk(x[..., 2:, :]).min()
    assert got["ess_bulk_min"] < got["ess_bulk_median"]
    assert (
        got["ess_tail_min"]
        == torch.cat([ess_tail(x)[chains.varying(x)], ess_tail(chains.projections(x))]).min()
    )
    assert abs(got["jump"] - 1) < 5 / math.sqrt(800)
    assert all(type(v) is float for v in got.values())


def test_stuck_chains_are_worth_no_draws():
    x = (
        torch.arange(4.0).reshape(4, 1, 1, 1, 1).expand(4, 20, 1, 3, 3)
        + torch.arange(9.0).reshape(1, 3, 3) * 0.1
    )
    got = image_diagnostics(x)
    assert got["r_hat_max"] == math.inf
    assert math.isnan(got["ess_bulk_min"])
    assert math.isnan(got["ess_tail_min"])


def test_image_diagnostics_see_one_bad_chain_and_one_bad_pixel():
    x = torch.from_numpy(ar1(4, 100, 36, 0.0)).reshape(4, 100, 1, 6, 6)
    bad_pixel = x.clone()
    bad_pixel[0, ..., 2, 3] += 5.0
    stuck = x.clone()
    stuck[:3] = stuck[:3, :1]
    assert image_diagnostics(bad_pixel)["r_hat_max"] > 1.3
    assert image_diagnostics(bad_pixel)["r_hat_median"] < 1.05
    assert image_diagnostics(stuck)["jump"] < 0.5 * image_diagnostics(x)["jump"]
    assert image_diagnostics(stuck)["r_hat_median"] > 1.05


def test_image_diagnostics_without_information_are_nan():
    x = torch.from_numpy(ar1(2, 20, 9, 0.0)).reshape(2, 20, 1, 3, 3)
    spoilt = x.clone()
    spoilt[1, 5, 0, 1, 1] = math.nan
    for bad in (x[:, :3], x[:, :0], x[:1, :1].expand_as(x), spoilt):
        assert all(math.isnan(v) for v in image_diagnostics(bad).values())


def test_image_diagnostics_of_one_chain_have_no_r_hat():
    got = image_diagnostics(ar1(1, 40, 9, 0.0))
    assert math.isnan(got["r_hat_max"])
    assert got["ess_bulk_min"] > 0


def test_inputs_of_any_kind_and_none_changed():
    x = ar1(2, 20, 3, 0.0).astype(np.float32)
    x.flags.writeable = False
    for form in (
        x,
        torch.from_numpy(x.copy()),
        torch.from_numpy(x.copy()).requires_grad_(),
        x[:, :, ::-1][:, :, ::-1],
    ):
        assert torch.equal(r_hat(form), r_hat(x.astype(np.float64)))
    y = torch.from_numpy(x.copy())
    image_diagnostics(y)
    assert torch.equal(y, torch.from_numpy(x.copy()))


def test_arrays_without_chain_and_draw_are_refused():
    for shape in ((10,), (0, 10, 3), (2, 10, 0)):
        with pytest.raises(ConfigError, match="chain, draw"):
            r_hat(torch.zeros(shape))
    with pytest.raises(ConfigError, match="real"):
        r_hat(torch.zeros(2, 10, dtype=torch.complex64))


@pytest.mark.parametrize(
    ("num_chains", "ess", "most"), [(8, 84, 1.26), (4, 42, 1.36), (8, 24, 1.9)]
)
def test_perfect_chains_have_a_large_r_hat_somewhere(num_chains, ess, most):
    found = chains.perfect_r_hat(num_chains, 100, ess, 4096)
    assert found == pytest.approx(most, rel=0.06)
    assert found == chains.perfect_r_hat(num_chains, 100, ess, 4096)
    assert chains.perfect_r_hat(num_chains, 100, ess, 16) < found


def test_what_perfect_chains_show_needs_draws_to_compare():
    for arguments in ((1, 100, 50.0, 9), (4, 3, 5.0, 9), (4, 100, math.nan, 9)):
        assert math.isnan(chains.perfect_r_hat(*arguments))
