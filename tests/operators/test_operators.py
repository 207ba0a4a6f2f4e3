"""The laws that every operator obeys."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

import noisewalk.operators.parser  # noqa: F401  (a submodule must not shadow the function `parse`)
from noisewalk import operators
from noisewalk.noise import PROBE, rows
from noisewalk.operators import (
    HDR,
    AveragePool,
    BoxInpainting,
    CloudInpainting,
    Compose,
    Convolution,
    GaussianBlur,
    MaskInpainting,
    RandomInpainting,
    adjoint,
    observed_of,
    output_shape_of,
)

SHAPE = (2, 6, 8)
KERNEL = rows(3, 1).normal((2, 3), PROBE, torch.float64)[0]
LINEAR = [
    AveragePool(2),
    GaussianBlur(kernel_size=9, std=0.8),
    GaussianBlur(kernel_size=5, std=1.5),
    Convolution(KERNEL),
    RandomInpainting(0.4, SHAPE, seed=2),
    BoxInpainting(1, 2, 3, 4),
    CloudInpainting(0.4, SHAPE, 3.0, seed=2),
    MaskInpainting(torch.arange(48).reshape(6, 8) % 3 == 0),
    MaskInpainting(torch.arange(96).reshape(2, 6, 8) % 5 != 0),
    Compose([GaussianBlur(3, 0.5), AveragePool(2), BoxInpainting(0, 0, 1, 2)]),
]
ALL = [*LINEAR, HDR(1.7), Compose([HDR(2.0), MaskInpainting(torch.eye(6, 8))])]


def batch(num: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return rows(seed, num).normal(SHAPE, PROBE, dtype)


class TestEveryOperator:
    def test_survives_pickling_bitwise(self):
        for operator in ALL:
            copy = pickle.loads(pickle.dumps(operator))
            assert repr(copy) == repr(operator)
            assert torch.equal(copy(batch(2)), operator(batch(2)))

    def test_repr_is_the_call_that_makes_it(self):
        for operator in ALL:
            assert repr(operator).startswith(type(operator).__name__ + "(")
            assert " at 0x" not in repr(operator)
            assert "tensor(" not in repr(operator)

    def test_is_pure(self):
        for operator in ALL:
            x = batch(2)
            numpys = np.random.get_state()[1].copy()  # noqa: NPY002  (it must stay untouched)
            kept, states = x.clone(), (torch.get_rng_state(), numpys)
            first = operator(x)
            assert torch.equal(first, operator(x))
            assert torch.equal(x, kept)
            assert torch.equal(torch.get_rng_state(), states[0])
            assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002

    def test_a_row_does_not_depend_on_its_neighbours(self):
        for dtype, tolerance in [(torch.float64, 1e-12), (torch.float32, 1e-5)]:
            for operator in ALL:
                x = batch(3, dtype)
                x[0], x[2] = torch.nan, torch.inf
                alone = operator(x[1:2])
                assert alone.dtype == dtype
                assert torch.isfinite(alone).all()
                torch.testing.assert_close(operator(x)[1:2], alone, rtol=0, atol=tolerance)

    def test_gradient_is_the_derivative(self):
        for operator in ALL:
            x = batch(1).requires_grad_()
            assert torch.autograd.gradcheck(operator, x)

    def test_forward_derivative_agrees_with_the_reverse_one(self):
        for operator in ALL:
            x, v = batch(2), batch(2, seed=1)
            y, jv = torch.func.jvp(operator, (x,), (v,))
            w = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape)
            back = torch.func.vjp(operator, x)[1](w)[0]
            torch.testing.assert_close((jv * w).sum(), (back * v).sum(), rtol=1e-12, atol=1e-12)

    def test_says_the_shape_of_y(self):
        for operator in ALL:
            assert output_shape_of(operator, SHAPE) == tuple(operator(batch(1)).shape[1:])

    def test_is_zero_where_it_says_unobserved_and_free_of_nan(self):
        for operator in ALL:
            observed = observed_of(operator, SHAPE)
            y = operator(batch(2))
            if observed is None:
                assert y.count_nonzero() == y.numel()
            else:
                hidden = ~observed.expand(y.shape)
                assert 0 < hidden.sum() < hidden.numel()
                assert (y[hidden] == 0).all()
                assert y[~hidden].count_nonzero() == (~hidden).sum()


class TestEveryLinearOperator:
    def test_equals_the_matrix_of_its_responses_to_basis_vectors(self):
        for operator in LINEAR:
            size = torch.Size(SHAPE).numel()
            matrix = (
                operator(torch.eye(size, dtype=torch.float64).reshape(size, *SHAPE)).flatten(1).T
            )
            x = batch(3)
            torch.testing.assert_close(
                operator(x).flatten(1), x.flatten(1) @ matrix.T, rtol=0, atol=1e-13
            )

    def test_adjoint_is_the_transposed_matrix(self):
        for operator in LINEAR:
            size = torch.Size(SHAPE).numel()
            matrix = (
                operator(torch.eye(size, dtype=torch.float64).reshape(size, *SHAPE)).flatten(1).T
            )
            y = operator(batch(3, seed=5)).cos()
            with torch.no_grad():
                back = adjoint(operator, y, SHAPE)
            assert not back.requires_grad
            torch.testing.assert_close(back.flatten(1), y.flatten(1) @ matrix, rtol=0, atol=1e-13)

    def test_inner_products_agree(self):
        for operator in LINEAR:
            x = batch(3)
            y = operator(batch(3, seed=5)).cos()
            left, right = (
                (operator(x) * y).flatten(1).sum(1),
                (x * adjoint(operator, y, SHAPE)).flatten(1).sum(1),
            )
            torch.testing.assert_close(left, right, rtol=0, atol=1e-12)


def test_images_may_lack_the_channel_axis():
    for operator in [
        AveragePool(2),
        GaussianBlur(9, 0.8),
        Convolution(KERNEL),
        BoxInpainting(1, 2, 3, 4),
        HDR(),
    ]:
        x = batch(2)
        torch.testing.assert_close(operator(x[:, 0]), operator(x)[:, 0], rtol=0, atol=1e-14)


def test_importing_the_package_imports_no_torch():
    code = (
        "import sys, noisewalk.operators as o; o.__all__; dir(o); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there():
    assert dir(operators) == operators.__all__
    for name in operators.__all__:
        assert callable(getattr(operators, name))
    with pytest.raises(AttributeError, match="Nonsense"):
        operators.Nonsense  # noqa: B018
