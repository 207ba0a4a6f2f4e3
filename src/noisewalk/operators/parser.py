"""Operators from text, as the command line takes them, and back.

One step is NAME, NAME:key=value,key=value or NAME:FILE; the steps of "A+B" are applied in turn:

    avgpool:factor=4,edge=crop    blur:kernel_size=61,std=3    hdr:factor=2    identity
    conv:FILE,normalize=true,boundary=reflect|zero|wrap|valid
    inpaint:keep=0.2,seed=0    box:top=16,left=16,height=32,width=32    motion:length=9,seed=0
    clouds:share=0.4,length=8,seed=0    mask:FILE    phase:oversample=1
    neuralblur:weights=FILE,seed=0

A "+" starts a new step only where a letter follows: "a+1.npy" is one name, "a+b.npy" is not.
"""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from torch import Tensor

from .._repr import describe, shown_fields
from .._text import closest, split, text_from, values_in
from ..errors import ConfigError, WeightsError
from ..files.arrays import read_array
from ..files.masks import load_mask
from ..types import Operator
from .arrays import image_shape
from .compose import Compose
from .linear import AveragePool, Convolution, GaussianBlur, Identity
from .masks import BoxInpainting, CloudInpainting, MaskInpainting, RandomInpainting
from .motion import CameraMotionBlur
from .neural_blur import NeuralBlur
from .nonlinear import HDR, PhaseRetrieval
from .observed import output_shape_of

CLASSES: dict[str, Any] = {
    "avgpool": AveragePool,
    "blur": GaussianBlur,
    "inpaint": RandomInpainting,
    "box": BoxInpainting,
    "clouds": CloudInpainting,
    "hdr": HDR,
    "identity": Identity,
    "motion": CameraMotionBlur,
    "phase": PhaseRetrieval,
    "neuralblur": NeuralBlur,
    "conv": Convolution,
    "mask": MaskInpainting,
}  # the fields of a class are the keys of its text; one that is marked as held comes from a file
NAMES = {cls: name for name, cls in CLASSES.items()}


def parse(text: str, shape: tuple[int, ...], held: Mapping[str, Tensor] | None = None) -> Operator:
    """The operator that a text describes, checked against the shape of the images.

    Arguments:
        text: steps joined by "+", such as "avgpool:factor=4" or "blur:std=2+inpaint:keep=0.2".
        shape: of one x, (C, H, W) or (H, W).
        held: from `held_by`: these arrays are not read from their files again; None: all are.

    Returns:
        The operator; a `Compose` if there are several steps.

    Raises:
        ConfigError: naming the step and what is wrong with it or its file, or does not fit x.
        WeightsError: the weights of neuralblur cannot be used.

    Example:
        >>> nw.operators.parse("hdr:factor=2+avgpool:factor=4", (3, 32, 32))
        Compose(steps=[HDR(factor=2.0), AveragePool(factor=4)])
    """
    shape, steps = image_shape("parse", shape), []
    for k, part in enumerate(parts_of(text)):
        try:
            steps.append(step_of(part, shape, k, held or {}))
            shape = output_shape_of(steps[-1], shape)
        except (ConfigError, WeightsError) as error:
            raise type(error)(f"operator {part!r}: {error}") from error
    return steps[0] if len(steps) == 1 else Compose(steps)


def text_of(operator: Operator) -> str:
    """The text that `parse` makes this operator of, given the arrays that it holds.

    Arguments:
        operator: one of this package's that has a text form.

    Returns:
        The text; an array stands as its shape and the hash of its content, in place of its file.

    Raises:
        ConfigError: another operator.

    Example:
        >>> nw.operators.text_of(nw.operators.GaussianBlur(std=2.0))
        'blur:kernel_size=61,std=2.0'
    """
    texts = []
    for step in _steps_of(operator):
        name = NAMES.get(type(step))
        if name is None:
            raise ConfigError(f"{describe(step)} has no text: it is none of {', '.join(CLASSES)}")
        arrays = [describe(getattr(step, field)) for field in _held_fields(type(step))]
        if arrays:
            more = [f for f in shown_fields(step) if f.name not in _held_fields(type(step))]
            arrays += [f"{f.name}={getattr(step, f.name)}" for f in more]
        texts.append(f"{name}:{','.join(arrays)}" if arrays else text_from(step, name))
    return "+".join(texts)


def held_by(operator: Operator) -> dict[str, Tensor]:
    """The arrays that an operator has from files. A run keeps them, since a file may go or change.

    Arguments:
        operator: from `parse`.

    Returns:
        Tensors by number of the step and name.

    Example:
        >>> nw.operators.held_by(nw.operators.Convolution([[0.25, 0.75]]))
        {'operator_0_kernel': tensor([[0.2500, 0.7500]], dtype=torch.float64)}
    """
    return {
        f"operator_{k}_{name}": getattr(step, name)
        for k, step in enumerate(_steps_of(operator))
        if type(step) in NAMES
        for name in _held_fields(type(step))
    }


def _steps_of(operator: Operator) -> tuple[Operator, ...]:
    return tuple(operator.steps) if isinstance(operator, Compose) else (operator,)


def _held_fields(cls: Any) -> list[str]:
    return [field.name for field in fields(cls) if field.metadata.get("held")]


def parts_of(text: str) -> list[str]:
    """The texts of the steps."""
    return [part.strip() for part in re.split(r"\+(?=\s*[A-Za-z])", text)]


def step_of(text: str, shape: tuple[int, ...], k: int, held: Mapping[str, Tensor]) -> Operator:
    """One step, the k-th, for images of this shape."""
    name, rest = split(text)
    if name not in CLASSES:
        hint = closest(name, CLASSES)
        raise ConfigError(f"unknown name {name!r}{hint}; known: {', '.join(CLASSES)}")
    cls = CLASSES[name]
    for field in _held_fields(cls):
        if not rest:
            raise ConfigError(f"a file must be given, as in {name}:FILE.npy")
        rest, more = _options(cls, rest)
        array = held.get(f"operator_{k}_{field}")
        if array is not None:
            more.pop("normalize", None)
            return cls(array, **more)
        word = more.pop("normalize", None)
        values = load_mask(rest, shape) if field == "mask" else _kernel(rest)
        found = cls(values, **more)
        return found if field == "mask" else _of_sum_1(found, rest, word)
    values = values_in(rest, cls, name)
    return made(cls, values, shape)


def made(cls: Any, values: Mapping[str, Any], shape: tuple[int, ...]) -> Operator:
    """The operator of a class with these values, and the shape of the images where it takes one."""
    drawn = any(field.name == "shape" for field in fields(cls))
    found: Operator = cls(**{"shape": shape, **values} if drawn else values)
    return found


def _options(cls: Any, rest: str) -> tuple[str, dict[str, str]]:
    """The file and the options of FILE,key=value."""
    keys = [f.name for f in fields(cls) if f.init and not f.metadata.get("held")]
    keys += ["normalize"] if cls is Convolution else []
    pattern = rf"(.*?)((?:,\s*(?:{'|'.join(keys)})\s*=[^,=]*)*)" if keys else "(.*)()"
    file, more = re.fullmatch(pattern, rest, re.DOTALL).groups()  # type: ignore[union-attr]
    pairs = (item.split("=") for item in more.split(",")[1:])
    return file.strip(), {key.strip(): value.strip() for key, value in pairs}


def _kernel(path: str) -> Any:
    values = read_array(path).values
    return values[0] if values.ndim == 3 and len(values) == 1 else values


def _of_sum_1(made: Convolution, path: str, word: str | None) -> Convolution:
    """The convolution with its kernel divided by its sum, or not; ConfigError if nobody says."""
    if word not in (None, "true", "false"):
        raise ConfigError(f"normalize must be true or false, got {word!r}")
    total = float(made.kernel.sum())
    if word is None and abs(total - 1) > 1e-3:
        ways = "normalize=true divides by that, normalize=false keeps it"
        raise ConfigError(f"the kernel {path} sums to {total:.6g}, not to 1: {ways}")
    return replace(made, kernel=made.kernel / total) if word == "true" else made
