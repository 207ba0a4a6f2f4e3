"""What in a file does not fit, told in one line."""

from collections.abc import Mapping, Sequence

from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of each named tensor."""
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


def misfits(expected: Shapes, found: Shapes) -> list[str]:
    """Every name that is missing, unexpected or of another shape than expected."""
    return [
        *(f"missing {key}" for key in expected if key not in found),
        *(f"unexpected {key}" for key in found if key not in expected),
        *(
            f"{key} has shape {found[key]}, expected {shape}"
            for key, shape in expected.items()
            if found.get(key, shape) != shape
        ),
    ]


def shortened(value: object, most: int = 200) -> str:
    """The text of a value or an error, in one line of a bounded length."""
    text = " ".join(str(value)[: 4 * most].split()) or type(value).__name__
    return text if len(text) <= most else f"{text[:most]}..."


def listed(problems: Sequence[str], most: int = 5) -> str:
    """The first problems, and how many more there are."""
    more = [f"and {len(problems) - most} more"] if len(problems) > most else []
    shown = [shortened(problem, 600) for problem in problems[:most]]  # each may name two files
    return "; ".join([*shown, *more])
