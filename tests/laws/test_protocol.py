"""Law: every public map, operator, likelihood and kernel is listed in `cases`, satisfies its
protocol, survives pickling and prints readably."""

import dataclasses
import inspect
import pickle
from types import ModuleType
from typing import Any

import pytest
import torch
from cases import EXEMPT, KERNELS, LIKELIHOODS, MAPS, OPERATORS, TARGETS, Case, draw, ids
from torch import Tensor

import noisewalk as nw
from noisewalk import noise, types

ROWS = 4
DTYPES = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64], ids=["float32", "float64"]
)
LISTS = [*MAPS, *OPERATORS, *LIKELIHOODS, *KERNELS, *TARGETS]


def public_classes(module: ModuleType) -> set[str]:
    names = getattr(module, "__all__", None) or [
        name for name in vars(module) if not name.startswith("_")
    ]
    found = {name: getattr(module, name) for name in names}
    return {
        name
        for name, value in found.items()
        if inspect.isclass(value) and value.__module__.startswith(module.__name__)
    }


def public_kernels() -> set[str]:
    """What the package exports and is a kernel, but for the abstract base."""
    classes = {name: getattr(nw, name) for name in nw.__all__ if inspect.isclass(getattr(nw, name))}
    return {name for name, value in classes.items() if issubclass(value, nw.Kernel)} - {"Kernel"}


@pytest.mark.parametrize(
    ("public", "cases"),
    [
        (lambda: public_classes(nw.maps), MAPS),
        (lambda: public_classes(nw.operators), OPERATORS),
        (lambda: public_classes(nw.likelihoods), LIKELIHOODS),
        (public_kernels, KERNELS),
    ],
    ids=["maps", "operators", "likelihoods", "kernels"],
)
def test_every_public_class_has_a_case(public: Any, cases: list[Case]) -> None:
    names = public()
    assert names
    assert (
        names - {type(case.build(torch.float64)).__name__ for case in cases} - set(EXEMPT) == set()
    )


def evaluate(case: Case, subject: Any, dtype: torch.dtype) -> list[Tensor]:
    """What an object computes, for comparison."""
    z = draw(case.shape, ROWS, seed=60, dtype=dtype)
    if case in LIKELIHOODS:
        y = subject.sample(z, noise.rows(61, 1, ROWS))
        return [y, subject.nll(z, y), subject.curvature(z, y)]
    if case in KERNELS:
        target = TARGETS[0].build(dtype)
        state, info, _ = subject.step(target(z), target, noise.rows(61, 2, ROWS // 2))
        return [*state, *info]
    return list(subject(z)) if case in TARGETS else [subject(z)]


@pytest.mark.parametrize("case", MAPS, ids=ids)
@DTYPES
def test_a_map_is_a_noise_map(case: Case, dtype: torch.dtype) -> None:
    phi = case.build(dtype)
    assert isinstance(phi, types.NoiseMap)
    assert tuple(phi.shape) == case.shape
    assert isinstance(phi.nfe, int)
    assert phi.nfe >= 1
    x = phi(draw(case.shape, ROWS, dtype=dtype))
    assert x.shape[0] == ROWS
    assert x.dtype == dtype
    assert tuple(x.shape[1:]) == tuple(getattr(phi, "data_shape", x.shape[1:]))


@pytest.mark.parametrize("case", OPERATORS, ids=ids)
@DTYPES
def test_an_operator_maps_rows_and_says_what_it_observes(case: Case, dtype: torch.dtype) -> None:
    operator = case.build(dtype)
    y = operator(draw(case.shape, ROWS, dtype=dtype))
    assert y.shape[0] == ROWS
    assert y.dtype == dtype
    assert tuple(y.shape[1:]) == nw.operators.output_shape_of(operator, case.shape)
    observed = nw.operators.observed_of(operator, case.shape)
    if observed is not None:
        assert observed.dtype == torch.bool
        hidden = ~observed.expand(y.shape)
        assert hidden.any()
        assert (y[hidden] == 0).all()
        if hasattr(operator, "observed"):
            assert torch.equal(operator.observed, observed)


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
@DTYPES
def test_a_likelihood_has_density_curvature_and_simulation(case: Case, dtype: torch.dtype) -> None:
    likelihood, mean = case.build(dtype), draw(case.shape, ROWS, dtype=dtype)
    assert isinstance(likelihood, types.Likelihood)
    y, nll, curvature = evaluate(case, likelihood, dtype)
    assert y.shape == mean.shape
    assert y.dtype == dtype
    assert nll.shape == (ROWS,)
    assert nll.dtype == torch.float64
    assert curvature.shape == mean.shape
    assert (curvature >= 0).all()


@pytest.mark.parametrize("case", TARGETS, ids=ids)
@DTYPES
def test_a_target_returns_a_state_without_a_graph(case: Case, dtype: torch.dtype) -> None:
    target, z = case.build(dtype), draw(case.shape, ROWS, dtype=dtype)
    assert isinstance(target, types.Target)
    state = target(z)
    assert isinstance(state, types.State)
    assert torch.equal(state.z, z)
    assert state.x.dtype == state.grad.dtype == dtype
    assert state.grad.shape == z.shape
    assert state.nll.shape == (ROWS,)
    assert state.nll.dtype == torch.float64
    assert not any(part.requires_grad for part in state)


@pytest.mark.parametrize("case", KERNELS, ids=ids)
@DTYPES
def test_a_kernel_returns_a_state_and_an_info_of_the_same_kind(
    case: Case, dtype: torch.dtype
) -> None:
    kernel, target = case.build(dtype), TARGETS[0].build(dtype)
    assert isinstance(kernel, types.Kernel)
    before = target(draw(case.shape, ROWS, dtype=dtype))
    state, info, _ = kernel.step(before, target, noise.rows(0, 2, ROWS // 2))
    assert isinstance(state, types.State)
    assert isinstance(info, types.Info)
    for new, old in zip(state, before, strict=True):
        assert new.shape == old.shape
        assert new.dtype == old.dtype
    assert all(part.shape == (ROWS,) for part in info)
    assert info.acceptance_rate.is_floating_point()
    assert info.accepted.dtype == info.diverging.dtype == torch.bool


@pytest.mark.parametrize("case", [*MAPS, *OPERATORS, *LIKELIHOODS, *KERNELS], ids=ids)
def test_a_configuration_is_frozen(case: Case) -> None:
    subject = case.build(torch.float32)
    assert dataclasses.is_dataclass(subject)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(
            subject, next((field.name for field in dataclasses.fields(subject)), "anything"), None
        )


@pytest.mark.parametrize("case", LISTS, ids=ids)
def test_it_survives_pickling(case: Case) -> None:
    subject = case.build(torch.float64)
    again = pickle.loads(pickle.dumps(subject))
    assert repr(again) == repr(subject)
    for one, other in zip(
        evaluate(case, subject, torch.float64), evaluate(case, again, torch.float64), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("case", LISTS, ids=ids)
def test_its_repr_is_readable_and_repeatable(case: Case) -> None:
    text = repr(case.build(torch.float32))
    assert text.startswith(type(case.build(torch.float32)).__name__ + "(")
    assert text == repr(case.build(torch.float32))
    assert " at 0x" not in text
    assert "tensor(" not in text  # a tensor prints its shape and hash
    assert "\n" not in text
    assert len(text) < 600


def test_another_content_is_another_repr() -> None:
    seen = [repr(case.build(torch.float32)) for case in LISTS]
    assert len(set(seen)) == len(seen)
    matrix = torch.eye(3)
    assert repr(nw.maps.Affine(matrix)) != repr(nw.maps.Affine(matrix + 1e-6))
    assert repr(nw.Langevin(torch.tensor([0.1, 0.2]))) != repr(
        nw.Langevin(torch.tensor([0.1, 0.3]))
    )
