r"""The posterior in noise space,
$$p(z \mid y) \propto \exp(-L_y(\Phi(z)))\, N(z; 0, I), \qquad L_y(x) = -\log p(y \mid A(x)),$$
as one object: map + operator + likelihood + measurement (equation 7 of the paper).
"""

from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor

from . import _border, _card
from . import noise as keyed
from ._autograd import FORWARD, Jacobian, pull
from ._checks import rows_of_call
from ._intake import plain
from ._moved import moved
from ._repr import describe, facts_of
from .errors import ConfigError
from .likelihoods.base import LikelihoodBase, complete
from .maps.per_image import for_rows
from .operators import observed_of
from .types import Likelihood, NoiseMap, Operator, Product, State

ordinary = torch.inference_mode(False)
"""Decorator: autograd works inside, whatever mode the caller is in."""


class NoisePosterior:
    """Evaluates L_y(Phi(z)) and its gradient in z, for many images and chains in one batch.

    One evaluation of B rows costs `B * phi.nfe` network calls, counted in `nfe`.

    Arguments:
        phi: map from noise to data.
        operator: A, any callable (B, *x) -> (B, *y).
        likelihood: p(y | A(x)).
        y: (N, *y), one real measurement per image, a tensor or an array, of the type that the whole
            run has (float32 for integers). What is unobserved may be NaN or masked. Complex
            measurements go in as `torch.view_as_real(y)`, with an operator that ends in it.
        observed: bool, broadcastable to y, on top of the operator's own: False where a measurement
            is missing.
        microbatch: rows per network call; None is all at once.
        differentiable: False for a map or operator without gradients; `State.grad` is then 0.
        check: refuse a map that is random or mixes the rows of a batch, by three rows' calls; not
            done where two rows do not fit the micro-batch.

    Raises:
        ConfigError: a part is no such object, y's shape is not A's, A(x) is complex, an observed
            entry cannot be measured or is not finite, nothing is observed, or phi is no function
            of each row.

    Example:
        >>> phi = nw.maps.Affine(2.0 * torch.eye(3))
        >>> noise, y = nw.likelihoods.Gaussian(0.5), torch.ones(1, 3)
        >>> target = nw.NoisePosterior(phi, lambda x: x, noise, y)
        >>> target(torch.zeros(4, 3)).grad.shape  # four chains of one image
        torch.Size([4, 3])
    """

    @ordinary
    def __init__(
        self,
        phi: NoiseMap,
        operator: Operator,
        likelihood: Likelihood,
        y: Tensor,
        observed: Tensor | None = None,
        microbatch: int | None = None,
        differentiable: bool = True,
        check: bool = True,
    ) -> None:
        _border.check_parts(phi, operator)
        y, observed = _border.measurement(y, observed)
        self.phi, self.operator, self.likelihood = phi, operator, likelihood
        self._full = complete(likelihood)
        self.microbatch = None if microbatch is None else rows_of_call(microbatch)
        self.differentiable = differentiable
        self._spent = [0]  # shared with the posteriors of other measurements
        self._jacobian = Jacobian()
        self.y, self._num_labelled = y, _border.num_labelled(phi, y)
        x = self._checked_map(y) if check and self.microbatch != 1 else None
        self.data_shape, y_shape = _border.shapes_of(phi, operator, y, x)
        _border.check_shape(y, y_shape)
        self.observed = _border.combine(observed_of(operator, self.data_shape), observed, y)
        self.y = y if self.observed is None else torch.where(self.observed, y, torch.zeros_like(y))
        _border.check_likelihood(self._full, self.y, self.observed)

    @property
    def nfe(self) -> int:
        """Network calls so far."""
        return self._spent[0]

    @nfe.setter
    def nfe(self, calls: int) -> None:
        self._spent[0] = calls

    @property
    def num_images(self) -> int:
        """N."""
        return self.y.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one z."""
        return self.phi.shape

    @property
    def num_observed(self) -> Tensor:
        """(N,) observed entries m of each measurement."""
        if self.observed is None:
            return torch.full((self.num_images,), self.y[0].numel(), device=self.y.device)
        return self.observed.reshape(self.num_images, -1).sum(1)

    @property
    @ordinary
    def jacobian(self) -> str:
        """How J v is had: "forward" (mode), "double backward" where an operation has no forward
        mode, "none" where that fails too. The first time, it is tried at one z, and counted."""
        forward = self._forward(torch.zeros(1, dtype=torch.long, device=self.y.device))
        return self._jacobian.way(forward, *self._probes(self.y).split(1))

    def __repr__(self) -> str:
        names = ("phi", "operator", "likelihood", "y", "observed")
        parts = (f"{name}={describe(getattr(self, name))}" for name in names)
        return f"NoisePosterior({', '.join(parts)})"

    def _repr_html_(self) -> str:
        return _card.html_of(self)

    @ordinary
    def __call__(self, z: Tensor) -> State:
        """The state at z, (N * chains, *phi.shape) image-major, detached."""
        return _joined([self._evaluate(z[rows], image) for rows, image in self._blocks(z)])

    @ordinary
    def value(self, z: Tensor, rows: Tensor, num_rows: int) -> State:
        """The states of a few rows of a batch, without a gradient: z is (b, *phi.shape), `rows` are
        their places among the batch's `num_rows`."""
        return self.evaluate(z, rows // (num_rows // self.num_images), gradient=False)

    @ordinary
    def evaluate(self, z: Tensor, image: Tensor, gradient: bool = True) -> State:
        """The states of rows (b, *phi.shape) of any images, whose numbers are `image`, (b,)."""
        parts = zip(*(part.split(self.microbatch or len(z)) for part in (z, image)), strict=True)
        return _joined([self._evaluate(some, where, gradient) for some, where in parts])

    @ordinary
    def perturb(self, mean: Tensor, noise: keyed.Noise) -> Tensor | None:
        """(B, *y) measurements centred at y, a row of noise each, image-major; `mean` is A(x) at a
        fit to y, which `perturbs_at_fit` likelihoods read. None where the likelihood has none."""
        likelihood, y, observed = self._parts(mean)
        return _border.perturbed(likelihood, y, mean, noise, observed)

    @property
    def perturbs(self) -> bool:
        """Whether `perturb` gives measurements."""
        first = keyed.rows(0, 1, device=self.y.device)
        likelihood, (y, gaps) = self._of(first.image), self._rows(first.image)
        return _border.perturbed(likelihood, y, y, first, gaps) is not None

    @property
    def perturbs_at_fit(self) -> bool:
        """Whether `perturb` reads the mean."""
        return self._full.perturbs_at_fit

    def with_measurements(self, y: Tensor) -> "NoisePosterior":
        """The posterior of M measurements of the same kind, (M, *y), as many of each image in turn;
        its network calls count here too."""
        other, each = copy(self), len(y) // self.num_images
        other._full = self._of(torch.arange(len(y), device=y.device) // each)
        if self.observed is not None:
            other.observed = self.observed.repeat_interleave(each, 0)
        other.y = y
        return other

    @ordinary
    def to(
        self, device: str | torch.device | None = None, dtype: torch.dtype | None = None
    ) -> "NoisePosterior":
        """A posterior like this one whose tensors are elsewhere: map, operator, likelihood and y.
        What a function closes over stays where it is; a compiled network is copied uncompiled.

        Arguments:
            device: such as "cuda"; None keeps it.
            dtype: float32 or float64, of all but networks in half precision; None keeps it.

        Returns:
            A posterior with its own count of network calls.

        Raises:
            ConfigError: another type, or a device that cannot be used here.
        """
        other = moved(self, _border.usable(device), _border.single_or_double(dtype))
        other._spent, other._jacobian = [0], Jacobian()
        return other

    @ordinary
    def linearize(self, z: Tensor) -> tuple[Tensor, Product, Product]:
        """A(Phi(z)), (B, *y), with the products of its Jacobian J at z: jvp, v (B, *shape) -> J v,
        and vjp, w (B, *y) -> J^T w. Each costs one network call a row, and takes k rows in turn for
        every row of z, too."""
        with torch.no_grad():
            mean = torch.cat([self._forward(image)(z[rows]) for rows, image in self._blocks(z)])

        @ordinary
        def products(times: Callable[..., Tensor], v: Tensor) -> Tensor:
            at = z.repeat_interleave(len(v) // len(z), 0)
            blocks = ((self._forward(image), rows) for rows, image in self._blocks(at))
            return torch.cat([times(f, at[rows], v[rows].clone()) for f, rows in blocks])

        return mean, partial(products, self._jacobian.push), partial(products, pull)

    @ordinary
    def curvature(self, mean: Tensor) -> Tensor:
        """(B, *y) the likelihood's Gauss-Newton weight W at A(x), 0 where unobserved."""
        likelihood, y, observed = self._parts(mean)
        return likelihood.curvature(mean, y, observed)

    @ordinary
    def chi2(self, x: Tensor) -> Tensor:
        """(B,) float64 chi-square per observed entry, sum((y - A(x))^2 / variance) / m; NaN for a
        likelihood that does not define it."""
        with torch.no_grad():
            likelihood, y, observed = self._parts(x)
            return likelihood.residual_chi2(self.operator(x), y, observed)

    @ordinary
    def simulate(self, x: Tensor, seed: int = 0) -> Tensor:
        """(N, *y) measurements of clean images x, (N, *data); 0 where unobserved."""
        x = plain("x", x)
        if len(x) != self.num_images:
            raise ConfigError(f"x must hold {self.num_images} images, got {len(x)}")
        rows = keyed.rows(seed, len(x), device=x.device)
        with torch.no_grad():
            return self._full.sample(self.operator(x), rows, self.observed)

    def facts(self) -> dict[str, Any]:
        """What the posterior is made of, ready for JSON: part of a run's specification."""
        parts = {"map": self.phi, "operator": self.operator, "likelihood": self.likelihood}
        parts |= {"y": self.y, "observed": self.observed}
        facts = {k: facts_of(v) for k, v in parts.items()}
        named = {k: {"name": v} if isinstance(v, str) else v for k, v in facts.items()}
        settings = {"dtype": str(self.y.dtype), "device": str(self.y.device)}
        if self._jacobian.found not in (None, FORWARD):
            settings["jacobian"] = self._jacobian.found
        return {**named, "microbatch": self.microbatch, **settings}

    def _checked_map(self, y: Tensor) -> Tensor:
        """x of one row; ConfigError unless Phi is a function of each row."""
        z = self._probes(y)
        with torch.no_grad(), _border.explained(z):
            first = torch.zeros(2, dtype=torch.long, device=z.device)
            together, alone = self._map_of(first)(z), self._map_of(first[:1])(z[1:])
        self.nfe += 3 * self.phi.nfe
        _border.check_function(together, alone, _border.precision_of(self.phi))
        return alone

    def _probes(self, y: Tensor) -> Tensor:
        return keyed.rows(0, 2, device=y.device).normal(tuple(self.phi.shape), keyed.PROBE, y.dtype)

    def _blocks(self, z: Tensor) -> Iterator[tuple[slice, Tensor]]:
        total = z.shape[0]
        if total == 0 or total % self.num_images:
            wrong = f"z has {total} rows, which is no multiple of the {self.num_images} images"
            raise ConfigError(wrong)
        image = torch.arange(total, device=z.device) // (total // self.num_images)
        for start in range(0, total, self.microbatch or total):
            rows = slice(start, start + (self.microbatch or total))
            yield rows, image[rows]

    def _rows(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        def rows(part: Tensor) -> Tensor:  # of one image a view: no copy per chain
            return part[image] if len(part) > 1 else part.expand(len(image), *part.shape[1:])

        return rows(self.y), None if self.observed is None else rows(self.observed)

    def _map_of(self, image: Tensor) -> Callable[[Tensor], Tensor]:
        """Phi for rows of these images, of a copy of z: a network may work in place."""
        phi, count = self.phi, self._num_labelled
        phi = phi if count is None else for_rows(phi, image * count // self.num_images)
        return lambda z: phi(z.clone())

    def _forward(self, image: Tensor) -> Callable[[Tensor], Tensor]:
        """A(Phi(z)) for rows of these images."""
        phi = self._map_of(image)

        def forward(z: Tensor) -> Tensor:
            self.nfe += z.shape[0] * self.phi.nfe
            return self.operator(phi(z))

        return forward

    def _of(self, image: Tensor) -> LikelihoodBase:
        """The likelihood of rows of these images."""
        return self._full.of_rows(image, self.y.ndim)

    def _parts(self, rows: Tensor) -> tuple[LikelihoodBase, Tensor, Tensor | None]:
        """The likelihood, the measurement and the mask of image-major rows."""
        image = torch.arange(len(rows), device=rows.device) // (len(rows) // self.num_images)
        return self._of(image), *self._rows(image)

    def _evaluate(self, z: Tensor, image: Tensor, gradient: bool = True) -> State:
        self.nfe += z.shape[0] * self.phi.nfe
        y, observed = self._rows(image)
        z, gradient = z.detach(), gradient and self.differentiable
        z = z.clone() if z.is_inference() else z
        with torch.set_grad_enabled(gradient), _border.explained(z):
            leaf = z.detach().requires_grad_(gradient)
            x = self._map_of(image)(leaf)
            nll = self._of(image).nll(self.operator(x), y, observed)
        _border.check_gradient(nll, gradient)
        grad = torch.autograd.grad(nll.sum(), leaf)[0] if gradient else torch.zeros_like(z)
        return State(z, x.detach(), nll.detach(), grad)


def _joined(states: list[State]) -> State:
    return states[0] if len(states) == 1 else State(*map(torch.cat, zip(*states, strict=True)))
