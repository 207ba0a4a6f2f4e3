"""From the options of a command to a kernel, and to a plan of chains or of tempered SMC."""

from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..gaussians.refresh import Refresh, SpectralRefresh
from ..kernels.hmc import HMC
from ..kernels.langevin import Langevin
from ..kernels.slice import EllipticalSlice
from ..sampling.defaults import FRICTION, leapfrogs, moves_of, resolve, resolve_smc
from ..sampling.randomized import RandomizedStarts
from ..sampling.starts import Adam, Start
from ..types import Kernel, Plan
from .options import refuse

if TYPE_CHECKING:
    from .sample import SampleOptions

LANGEVIN = {"em": ("em", False), "ei": ("ei", False), "mala": ("em", True), "pcnl": ("ei", True)}


def kernel_of(name: str, step_size: float | None, num_leapfrog: int | None, nfe: int) -> Kernel:
    """The kernel of --kernel for a map of so many network calls; the step of None is adapted."""
    if name == "slice":
        return EllipticalSlice()
    if name == "hmc":
        steps = leapfrogs(nfe) if num_leapfrog is None else num_leapfrog
        return HMC(0.1 if step_size is None else step_size, steps, friction=FRICTION)
    if name not in LANGEVIN:
        known = ", ".join((*LANGEVIN, "hmc", "slice", "smc"))
        raise ConfigError(f"unknown kernel {name!r}: choose one of {known}")
    scheme, adjust = LANGEVIN[name]
    if step_size is None and not adjust:
        needs = "needs --step-size, for instance 1e-5 as in the paper"
        raise ConfigError(f"the unadjusted kernel {name} {needs}")
    return Langevin(1e-3 if step_size is None else step_size, scheme, adjust)


def plan_of(options: "SampleOptions", target: Any) -> Plan:
    """The plan of `noisewalk sample`."""
    return (_particles if options.kernel == "smc" else _chains)(options, target)


def _chains(options: "SampleOptions", target: Any) -> Plan:
    """Chains of the default kernel or a given one; a kernel whose step is given runs as it is."""
    o, given = options, options.step_size is not None
    usual = o.kernel is None and not given and o.num_leapfrog is None
    name, nfe = o.kernel or "hmc", target.phi.nfe
    kernel = None if usual else kernel_of(name, o.step_size, o.num_leapfrog, nfe)
    refresh = SpectralRefresh() if o.spectral else None if o.rank is None else Refresh(rank=o.rank)
    as_given = given and refresh is None
    short = kernel is not None and kernel.evaluations == 1 and not given
    return resolve(
        target,
        kernel,
        num_draws=_or(o.num_draws, "auto"),
        num_chains=_or(o.chains, "auto"),
        num_warmup=_or(o.num_warmup, 0 if as_given else "auto"),
        thin=_or(o.thin, 10 if short else "auto"),
        warm_start=_start(o, target),
        adapt=None if given else "auto",
        seed=_or(o.seed, 0),
        refresh=None if as_given else refresh or "auto",
        plan=_or(o.plan, "auto"),
    )


def _start(options: "SampleOptions", target: Any) -> Start | str | None:
    """How the chains start; --warm-start counts the steps of whatever it is, and 0 takes none."""
    steps, kind = options.warm_start, options.start
    if kind == "prior" or steps == 0:
        return None
    if kind == "adam" or (steps and kind is None and not target.perturbs):
        return Adam(_or(steps, 200), _or(options.lr, 0.01))
    return "auto" if kind is None and steps is None else RandomizedStarts(_or(steps, "auto"))


def _particles(options: "SampleOptions", target: Any) -> Plan:
    o, count = options, _or(options.num_particles, 200)
    if not target.differentiable:
        refuse("smc without gradients, by slice sampling,", o, "step_size", "num_leapfrog")
    given = {"step_size": o.step_size, "num_leapfrog": o.num_leapfrog}
    kernel = moves_of(target, count, o.rank, **given)
    moves = _moves(o.num_moves)
    return resolve_smc(target, count, kernel=kernel, num_moves=moves, seed=o.seed or 0, rank=o.rank)


def _moves(text: str | None) -> Any:
    """The number of moves, or the least and the most; None where nothing is said."""
    if text is None:
        return None
    try:
        moves = tuple(int(part) for part in text.split(","))
    except ValueError:
        must = "--num-moves must be a number such as 4, or two such as 2,16"
        raise ConfigError(f"{must}; got {text!r}") from None
    return moves[0] if len(moves) == 1 else moves


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
