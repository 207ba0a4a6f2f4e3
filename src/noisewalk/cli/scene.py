"""The size of the image that is restored: the prior's, or that of a larger scene."""

from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..files.arrays import shape_in
from ..files.reading import numbers_in
from ..operators import output_shape_of, parse
from ..operators.sizes import shape_before
from ..priors.prior import check_sides

if TYPE_CHECKING:
    from ..priors.prior import Prior
    from .sample import SampleOptions

FIT = "cut the file to such sides, or give a clean image with --simulate --fit crop, resize or pad"


def shape_of_x(options: "SampleOptions", prior: "Prior") -> tuple[int, ...]:
    """(C, H, W) of x. Where the prior is a network for any size, it is that of the file, or of what
    the operator measures so; a file that fits neither is left to its reader, which says why."""
    o, usual = options, prior.shape
    if o.fit is not None or prior.kind != "consistency" or prior.denoiser is None:
        return usual
    found = shape_in(o.input, numbers_in("--bands", o.bands, 1) or None)
    if len(found) != 3 or found[0] != usual[0]:
        return usual
    if not o.simulate and _measured(o.operator, usual) == found:
        return usual
    largest = found if o.simulate else shape_before(o.operator, found)
    if largest == usual or any(n < least for n, least in zip(largest, usual, strict=True)):
        return usual
    sides = largest[-2:]
    if not o.simulate:  # of several that are measured so, the one that the network can make
        some = tuple(n - n % prior.multiple for n in sides)
        sides = some if _measured(o.operator, (usual[0], *some)) == found else sides
    try:
        check_sides(prior.name, sides, prior.multiple)
    except ConfigError as error:
        raise ConfigError(f"{o.input} of shape {found}: {error}; {FIT}") from error
    return (usual[0], *sides)


def _measured(operator: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of A(x) for this shape of x; None where x does not fit."""
    try:
        return output_shape_of(parse(operator, shape), shape)
    except ConfigError:
        return None
