"""How often the range of an image's samples holds the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def covered(x: Tensor, truth: Tensor) -> Tensor:
    """Whether each pixel's true value lies between the smallest and the largest sample, in the grey
    levels of an image.

    This is the coverage of the tables, nominally (n - 1) / (n + 1). `nw.diagnostics.coverage` is
    that of intervals over simulated problems, without levels.

    Arguments:
        x: (n, *x) samples in [-1, 1].
        truth: (*x).

    Returns:
        (*x) float64: 1 inside, 0 outside, and between them where samples equal the truth. With a
        samples below it and e equal to it, the truth's place among all n + 1 is one of a to a + e,
        each as likely, and the places 1 to n - 1 are inside.
    """
    levels, true = (((v.double().clamp(-1, 1) + 1) * 127.5).round() for v in (x, truth))
    below, equal = (levels < true).sum(0), (levels == true).sum(0)
    inside = (below + equal).clamp(max=len(x) - 1) - below.clamp(min=1) + 1
    return inside.clamp(min=0).double() / (equal + 1)
