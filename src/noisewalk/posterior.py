r"""The posterior in noise space,
$$p(z \mid y) \propto \exp(-L_y(\Phi(z)))\, N(z; 0, I), \qquad L_y(x) = -\log p(y \mid A(x)),$$
as one object: map + operator + likelihood + measurement (equation 7 of the paper).
"""

from collections.abc import Iterator
from copy import copy
from typing import Any

import torch
from torch import Tensor

from . import noise as keyed
from ._checks import whole
from ._repr import describe, facts_of
from .errors import ConfigError
from .likelihoods.base import complete
from .operators import observed_of
from .types import Likelihood, NoiseMap, Operator, Product, State

STACKED = "stack the parts of complex numbers, torch.view_as_real(...), in the operator and in y"


class NoisePosterior:
    """Evaluates L_y(Phi(z)) and its gradient in z, for many images and chains in one batch.

    One evaluation of B rows costs `B * phi.nfe` network calls, counted in `nfe`.

    Arguments:
        phi: map from noise to data.
        operator: A, any callable (B, *x) -> (B, *y).
        likelihood: p(y | A(x)).
        y: (N, *y), one real measurement per image, of the type that the whole run has; what is
            unobserved may be NaN. Complex measurements go in as `torch.view_as_real(y)`, with an
            operator that ends in it.
        observed: bool, broadcastable to y, on top of the operator's own: False where a measurement
            is missing.
        microbatch: rows per network call; None is all at once.
        differentiable: False for a map or operator without gradients; `State.grad` is then 0.

    Raises:
        ConfigError: a part is no such object, y's shape is not A's, A(x) is complex, an observed
            entry cannot be measured or is not finite, or nothing is observed.

    Example:
        >>> phi = nw.maps.Affine(2.0 * torch.eye(3))
        >>> noise, y = nw.likelihoods.Gaussian(0.5), torch.ones(1, 3)
        >>> target = nw.NoisePosterior(phi, lambda x: x, noise, y)
        >>> target(torch.zeros(4, 3)).grad.shape  # four chains of one image
        torch.Size([4, 3])
    """

    def __init__(
        self,
        phi: NoiseMap,
        operator: Operator,
        likelihood: Likelihood,
        y: Tensor,
        observed: Tensor | None = None,
        microbatch: int | None = None,
        differentiable: bool = True,
    ) -> None:
        _check_parts(phi, operator, y)
        self.phi, self.operator, self.likelihood = phi, operator, likelihood
        self._full = complete(likelihood)
        self.microbatch = None if microbatch is None else whole("microbatch", microbatch)
        self.differentiable = differentiable
        self._spent = [0]  # shared with the posteriors of other measurements
        self.data_shape, y_shape = self._shapes(y)
        if y.ndim == 0 or tuple(y.shape[1:]) != y_shape:
            allowed = f"y must be (images, {', '.join(map(str, y_shape))})"
            raise ConfigError(
                f"y has shape {tuple(y.shape)}, but A(x) of one image has shape {y_shape}: "
                f"{'give y[None]' if tuple(y.shape) == y_shape else allowed}"
            )
        self.observed = _combine(observed_of(operator, self.data_shape), observed, y)
        self.y = y if self.observed is None else torch.where(self.observed, y, torch.zeros_like(y))
        if bad := int((~torch.isfinite(self.y)).sum()):
            raise ConfigError(
                f"y has {bad} entries that are not finite: mark them as missing with "
                "`observed` (False where missing)"
            )
        self._full.check_measurement(self.y, self.observed)
        with torch.no_grad():  # what does not fit is said here, not after a warm start
            some = self.y[:1]
            gaps = None if self.observed is None else self.observed[:1]
            nll = likelihood.nll(torch.zeros_like(some), some, gaps)
        if not isinstance(nll, Tensor) or nll.shape != (1,):
            raise ConfigError(
                f"nll must give one number a row, (1,) for one row, got {describe(nll)}"
            )

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
        return self.observed.flatten(1).sum(1)

    def __repr__(self) -> str:
        names = ("phi", "operator", "likelihood", "y", "observed")
        parts = (f"{name}={describe(getattr(self, name))}" for name in names)
        return f"NoisePosterior({', '.join(parts)})"

    def __call__(self, z: Tensor) -> State:
        """The state at z, (N * chains, *phi.shape) image-major, detached."""
        states = [self._evaluate(z[rows], image) for rows, image in self._blocks(z)]
        return states[0] if len(states) == 1 else _joined(states)

    def value(self, z: Tensor, rows: Tensor, num_rows: int) -> State:
        """The states of a few rows of a batch, without a gradient: z is (b, *phi.shape), `rows` are
        their places among the batch's `num_rows`."""
        image = rows // (num_rows // self.num_images)
        parts = zip(*(part.split(self.microbatch or len(z)) for part in (z, image)), strict=True)
        states = [self._evaluate(some, where, gradient=False) for some, where in parts]
        return _joined(states)

    def evaluate(self, z: Tensor, image: Tensor) -> State:
        """The states of rows (b, *phi.shape) of any images, whose numbers are `image`, (b,)."""
        parts = zip(*(part.split(self.microbatch or len(z)) for part in (z, image)), strict=True)
        states = [self._evaluate(some, where) for some, where in parts]
        return states[0] if len(states) == 1 else _joined(states)

    def perturb(self, mean: Tensor, noise: keyed.Noise) -> Tensor | None:
        """(B, *y) measurements centred at y, a row of noise each, image-major; `mean` is A(x) at a
        fit to y, which `perturbs_at_fit` likelihoods read. None where the likelihood has none."""
        y, observed = self._rows(self._image_of(mean))
        return self._full.perturb(y, mean, noise, observed)

    @property
    def perturbs(self) -> bool:
        """Whether `perturb` gives measurements."""
        first = keyed.rows(0, 1, device=self.y.device)
        gaps = None if self.observed is None else self.observed[:1]
        return self._full.perturb(self.y[:1], self.y[:1], first, gaps) is not None

    @property
    def perturbs_at_fit(self) -> bool:
        """Whether `perturb` reads the mean."""
        return self._full.perturbs_at_fit

    def with_measurements(self, y: Tensor) -> "NoisePosterior":
        """The posterior of M measurements of the same kind, (M, *y), as many of each image in turn;
        its network calls count here too."""
        other = copy(self)
        if self.observed is not None:
            other.observed = self.observed.repeat_interleave(len(y) // self.num_images, 0)
        other.y = y
        return other

    def linearize(self, z: Tensor) -> tuple[Tensor, Product, Product]:
        """A(Phi(z)), (B, *y), with the products of its Jacobian J at z: jvp, v (B, *shape) -> J v,
        and vjp, w (B, *y) -> J^T w. Each costs one network call a row, and takes k rows in turn for
        every row of z, too."""
        with torch.no_grad():
            mean = torch.cat([self._forward(z[rows]) for rows, _ in self._blocks(z)])

        def jvp(v: Tensor) -> Tensor:
            at = z.repeat_interleave(len(v) // len(z), 0)
            return torch.cat([self._jvp(at[rows], v[rows]) for rows, _ in self._blocks(at)])

        def vjp(w: Tensor) -> Tensor:
            at = z.repeat_interleave(len(w) // len(z), 0)
            return torch.cat([self._vjp(at[rows], w[rows]) for rows, _ in self._blocks(at)])

        return mean, jvp, vjp

    def curvature(self, mean: Tensor) -> Tensor:
        """(B, *y) the likelihood's Gauss-Newton weight W at A(x), 0 where unobserved."""
        y, observed = self._rows(self._image_of(mean))
        return self._full.curvature(mean, y, observed)

    def chi2(self, x: Tensor) -> Tensor:
        """(B,) float64 chi-square per observed entry, sum((y - A(x))^2 / variance) / m; NaN for a
        likelihood that does not define it."""
        with torch.no_grad():
            return self._full.residual_chi2(self.operator(x), *self._rows(self._image_of(x)))

    def simulate(self, x: Tensor, seed: int = 0) -> Tensor:
        """(N, *y) measurements of clean images x, (N, *data); 0 where unobserved."""
        if len(x) != self.num_images:
            raise ConfigError(f"x must hold {self.num_images} images, got {len(x)}")
        rows = keyed.rows(seed, len(x), device=x.device)
        with torch.no_grad():
            return self._full.sample(self.operator(x), rows, self.observed)

    def facts(self) -> dict[str, Any]:
        """What the posterior is made of, ready for JSON: part of a run's specification."""
        parts = {"map": self.phi, "operator": self.operator, "likelihood": self.likelihood}
        facts = {
            k: facts_of(v) for k, v in {**parts, "y": self.y, "observed": self.observed}.items()
        }
        named = {k: {"name": v} if isinstance(v, str) else v for k, v in facts.items()}
        settings = {"dtype": str(self.y.dtype), "device": str(self.y.device)}
        return {**named, "microbatch": self.microbatch, **settings}

    def _shapes(self, y: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
        like = torch.zeros(
            (), device=y.device, dtype=y.dtype if y.dtype.is_floating_point else torch.float32
        )
        with torch.no_grad():
            data_shape = getattr(self.phi, "data_shape", None)
            x = (
                self.phi(like.new_zeros(1, *self.phi.shape))
                if data_shape is None
                else like.new_zeros(1, *data_shape)
            )
            mean = self.operator(x)
        if not isinstance(mean, Tensor) or mean.is_complex():
            found = mean.dtype if isinstance(mean, Tensor) else type(mean).__name__
            raise ConfigError(f"the operator must give a real tensor, got {found}: {STACKED}")
        return tuple(x.shape[1:]), tuple(mean.shape[1:])

    def _blocks(self, z: Tensor) -> Iterator[tuple[slice, Tensor]]:
        total = z.shape[0]
        if total == 0 or total % self.num_images:
            raise ConfigError(
                f"z has {total} rows, which is no multiple of the {self.num_images} images"
            )
        image = torch.arange(total, device=z.device) // (total // self.num_images)
        size = self.microbatch or total
        for start in range(0, total, size):
            rows = slice(start, start + size)
            yield rows, image[rows]

    def _image_of(self, rows: Tensor) -> Tensor:
        return torch.arange(len(rows), device=rows.device) // (len(rows) // self.num_images)

    def _rows(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        def rows(part: Tensor) -> Tensor:  # of one image a view: no copy per chain
            one = self.num_images == 1
            return part.expand(len(image), *part.shape[1:]) if one else part[image]

        return rows(self.y), None if self.observed is None else rows(self.observed)

    def _forward(self, z: Tensor) -> Tensor:
        self.nfe += z.shape[0] * self.phi.nfe
        return self.operator(self.phi(z))

    def _evaluate(self, z: Tensor, image: Tensor, gradient: bool = True) -> State:
        self.nfe += z.shape[0] * self.phi.nfe
        y, observed = self._rows(image)
        z, gradient = z.detach(), gradient and self.differentiable
        with torch.set_grad_enabled(gradient):
            leaf = z.clone().requires_grad_(gradient)
            try:
                x = self.phi(leaf)
            except RuntimeError as error:
                if "dtype" not in str(error):
                    raise
                allowed = "give y in the type of its network, such as y.float()"
                raise ConfigError(f"the map cannot take {z.dtype}, y's type: {allowed}") from error
            nll = self.likelihood.nll(self.operator(x), y, observed)
        if gradient and not nll.requires_grad:
            raise ConfigError(
                "no gradient comes back through the operator and the map: write them in torch "
                "operations, or give differentiable=False"
            )
        grad = torch.autograd.grad(nll.sum(), leaf)[0] if gradient else torch.zeros_like(z)
        return State(z, x.detach(), nll.detach(), grad)

    def _jvp(self, z: Tensor, v: Tensor) -> Tensor:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no forward-mode derivative on CPU
            return torch.func.jvp(self._forward, (z,), (v,))[1].detach()

    def _vjp(self, z: Tensor, w: Tensor) -> Tensor:
        leaf = z.detach().requires_grad_()
        return torch.autograd.grad(self._forward(leaf), leaf, w)[0]


def simulate(operator: Operator, likelihood: Likelihood, x: Tensor, seed: int = 0) -> Tensor:
    """A measurement of every image, y ~ p(y | A(x)).

    Arguments:
        operator: A.
        likelihood: p(y | A(x)).
        x: (N, *data) clean images.
        seed: of the measurement noise.

    Returns:
        (N, *y); 0 where the operator observes nothing.

    Example:
        >>> x = torch.zeros(2, 1, 8, 8)
        >>> nw.simulate(nw.operators.AveragePool(4), nw.likelihoods.Gaussian(0.1), x).shape
        torch.Size([2, 1, 2, 2])
    """
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim == 0:
        raise ConfigError(f"x must be a floating-point tensor (images, *data), got {describe(x)}")
    rows = keyed.rows(seed, len(x), device=x.device)
    with torch.no_grad():
        observed = observed_of(operator, tuple(x.shape[1:]))
        return complete(likelihood).sample(operator(x), rows, observed)


def _joined(states: list[State]) -> State:
    return State(*(torch.cat(parts) for parts in zip(*states, strict=True)))


def _check_parts(phi: Any, operator: Any, y: Any) -> None:
    """ConfigError unless each is an object of its kind."""
    if not hasattr(phi, "shape") or not callable(phi):
        raise ConfigError(
            "phi must be a map with a shape, such as prior.map() or "
            f"nw.maps.Generator(network, shape, data_shape), got {type(phi).__name__}"
        )
    if not callable(operator):
        raise ConfigError(
            "operator must be a function of x, such as nw.operators.AveragePool(4), got "
            f"{type(operator).__name__}"
        )
    if not isinstance(y, Tensor) or not y.is_floating_point() or (y.ndim > 0 and len(y) == 0):
        found = f"{y.dtype} {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        stacked = f": {STACKED}" if isinstance(y, Tensor) and y.is_complex() else ""
        raise ConfigError(
            "y must be a floating-point tensor (images, *y) with one image or more, got "
            f"{found}{stacked}"
        )


def _combine(own: Tensor | None, given: Tensor | None, y: Tensor) -> Tensor | None:
    """Both masks in one, of y's shape; None where all is observed."""
    masks = [mask for mask in (own, given) if mask is not None]
    if not masks:
        return None
    full = torch.ones_like(y, dtype=torch.bool)
    for mask in masks:
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            found = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise ConfigError(f"observed must be a bool tensor (True = measured), got {found}")
        try:
            full = full & mask.to(y.device).expand(y.shape)
        except RuntimeError as error:
            shapes = f"{tuple(mask.shape)} does not broadcast to y of shape {tuple(y.shape)}"
            raise ConfigError(f"observed of shape {shapes}") from error
    if not full.flatten(1).any(1).all():
        raise ConfigError(
            "nothing is observed in at least one image: `observed` and the operator's mask "
            "leave no entry of y"
        )
    return full
