"""What every cell of a grid shares: networks, images, tasks and settings."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from ..._checks import whole
from ..._repr import describe
from ...errors import ConfigError
from ...gaussians.refresh import Refresh
from ...likelihoods import Gaussian
from ...maps.per_image import for_image
from ...operators import parse
from ...posterior import NoisePosterior
from ...priors.prior import Prior
from ...sampling.defaults import FRICTION, leapfrogs
from ...sampling.starts import Adam
from .methods import Method
from .presets import Guided, Preset, Walk, dataset_of, preset
from .scores import RULES
from .tasks import Task

THIN = 5  # transitions of the exact kernel between two samples
BLOCK = 20  # images computed at a time, where they are small
BLOCK_NUMEL = 3 * 128 * 128  # images of more numbers are computed alone


@dataclass(frozen=True, eq=False)
class Bench:
    """What every cell of a grid shares; None leaves a number to the preset."""

    prior: Prior
    teacher: Prior | None  # diffusion model of the DM rows
    images: Tensor  # (pool, *x): the first ones are restored, the rest are FD's reference
    tasks: dict[str, Task]
    out: Path
    num_samples: int = 10
    seed: int = 0
    label: float | tuple[int, ...] | None = None  # or one for each image, computed one by one
    num_steps: int | None = None  # of the guided methods
    adam_steps: int | None = None  # of ours
    num_warmup: int | None = None  # of the exact kernel
    extractor: str | None = "efficientnet-lite0"
    lpips_net: str | None = "alex"
    diversity: bool = False  # whether the diversity of an image's samples is scored
    microbatch: int | None = None
    samples_of: Path | None = None  # folder of a grid whose samples serve where they are enough
    extractors: dict[str, str] = field(default_factory=dict)  # others for some of the scores
    _made: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if getattr(self.prior.denoiser, "kind", None) != "consistency":
            raise ConfigError(
                f"bench needs a consistency model such as fashion32, and {self.prior.name} is none"
            )
        whole("num_samples", self.num_samples)
        whole("seed", self.seed, 0, (1 << 32) - 1)
        for name, least in {"num_steps": 2, "adam_steps": 0, "num_warmup": 0}.items():
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), least)

    @property
    def block(self) -> int:
        """Images computed together."""
        many = self.images[0].numel() <= BLOCK_NUMEL and not isinstance(self.label, tuple)
        return BLOCK if many else 1

    def of_image(self, image: int) -> "Bench":
        """The bench of one image, whose networks have its class; itself where all share one."""
        if not isinstance(self.label, tuple):
            return self
        label = self.label[image]
        of_class = self._once(f"class {label}", lambda: self._of_class(image, label))
        return replace(self, **of_class)

    def _of_class(self, image: int, label: int) -> dict[str, Any]:
        """What differs in the bench of an image, and is shared by all images of its class."""
        teacher = None if self.teacher is None else for_image(self.teacher, image)
        prior = for_image(self.prior, image)
        return {"prior": prior, "teacher": teacher, "label": label, "_made": {}}

    @cached_property
    def varied(self) -> Tensor:
        """(*x) bool: pixels that are above black in more than a twentieth of all images."""
        return (self.images > -1.0 + 1.0 / 255.0).float().mean(0) > 0.05

    @property
    def chains(self) -> int:
        """Chains of the exact kernel: two where each then has four samples or more."""
        return 2 if self.num_samples % 2 == 0 and self.num_samples >= 8 else 1

    def chains_of(self, method: Method) -> int:
        """Chains that an image's samples stand in."""
        return self.chains if method.family == "exact" else 1

    @property
    def exact_start(self) -> Adam | str | None:
        """Warm start of the exact kernel, as `sample` takes it."""
        return Adam() if self.adam_steps is None else start_of(self.adam_steps)

    @property
    def exact_warmup(self) -> int | str:
        """Warm-up of the exact kernel, as `sample` takes it."""
        return "auto" if self.num_warmup is None else self.num_warmup

    def phi(self, num_steps: int) -> Any:
        """The map of one or two network calls."""
        return self._once(f"map {num_steps}", lambda: self.prior.map(num_steps))

    def operator(self, task: Task) -> Any:
        """A task's operator, made once: some read their weights from a file."""
        return self._once(task.operator, lambda: parse(task.operator, self.prior.shape))

    def target(self, task: Task, y: Tensor, num_steps: int = 1) -> NoisePosterior:
        """The posterior of measurements (N, *y) over the map of one or two network calls."""
        parts = self.phi(num_steps), self.operator(task), Gaussian(task.sigma_y), y
        return NoisePosterior(*parts, microbatch=self.microbatch)

    def network(self, method: Method) -> Prior:
        """The prior whose network a method calls."""
        return self.teacher if method.backbone == "dm" and self.teacher is not None else self.prior

    def preset(self, method: Method, task: str) -> Preset | None:
        """A cell's settings, with what the command line shortens."""
        name = self.prior.name
        found = preset(dataset_of(name), method.preset, task, self.num_samples, name)
        told = "from the command line"
        if isinstance(found, Guided) and self.num_steps is not None and method.family != "cmedit":
            return replace(found, num_steps=self.num_steps, source=f"{found.source}, N {told}")
        if isinstance(found, Walk) and self.adam_steps is not None:
            return replace(found, adam_steps=self.adam_steps, source=f"{found.source}, K {told}")
        return found

    def missing(self, method: Method, task: str) -> str:
        """Why a cell does not exist; empty if it does."""
        if method.backbone == "dm" and self.teacher is None:
            return f"{self.prior.name} has no teacher"
        if method.num_steps == 2 and self.prior.card.get("midpoint") is None:
            return f"the card of {self.prior.name} names no midpoint"
        exists = method.family == "exact" or self.preset(method, task) is not None
        return "" if exists else "the paper has no settings (N/A)"

    def settings(self, method: Method, task: Task, image: int) -> dict[str, Any]:
        """What makes a cell, JSON-ready: two cells of the same settings are the same."""
        if isinstance(self.label, tuple):
            return self.of_image(image).settings(method, task, image)
        owner = self.network(method)
        network: Any = owner.denoiser
        text = self._once(f"text of {task.operator}", lambda: describe(self.operator(task)))
        return {
            "network": f"{owner.name} {self._identity(method)}",
            "label": self.label,
            "operator": f"{task.operator} {text}",
            "sigma_y": task.sigma_y,
            "preset": self._preset_text(method, task),
            "num_samples": self.num_samples,
            "seed": self.seed,
            "dtype": [str(self.images.dtype), str(next(network.network.parameters()).dtype)],
            "image": describe(self.images[image]),
            "scored": self.scored,
        }

    @property
    def scored(self) -> list[Any]:
        """What the numbers of a cell depend on besides its samples, JSON-ready."""
        others = [dict(sorted(self.extractors.items()))] if self.extractors else []
        return [self.extractor, self.lpips_net, self.diversity, RULES, *others]

    def _preset_text(self, method: Method, task: Task) -> str:
        if method.family != "exact":
            return repr(self.preset(method, task.name))
        adam = "auto" if self.adam_steps is None else self.adam_steps
        return (
            f"default kernel, {self.chains} chains, thin {THIN}, warm-up {self.exact_warmup}, "
            f"Adam {adam}, {leapfrogs(method.num_steps)} leapfrogs, friction {FRICTION:g}, "
            f"{Refresh()}"
        )

    def _identity(self, method: Method) -> str:
        """What the method calls: weights by their hash, and the midpoint of a map of two steps."""
        if method.family in ("walk", "exact"):
            key, called = f"map {method.num_steps}", lambda: self.phi(method.num_steps)
        else:
            key, called = method.backbone, lambda: self.network(method).denoiser
        return self._once(f"text of {key}", lambda: describe(called()))

    def _once(self, key: str, make: Callable[[], Any]) -> Any:
        """What is made at its first use; benches made by `replace` share it."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def start_of(adam_steps: int, *settings: Any) -> Adam | None:
    """Adam's warm start; None for no steps."""
    return Adam(adam_steps, *settings) if adam_steps else None
