"""Operators from text, as the command line takes them.

One step is NAME, NAME:key=value,key=value or NAME:FILE; steps are joined by "+", the first one is
applied first:

    avgpool:factor=4          blur:kernel_size=61,std=3      conv:FILE.npy        hdr:factor=2
    identity inpaint:keep=0.2,seed=0   box:top=16,left=16,height=32,width=32
    mask:FILE.npy  mask:FILE.png motion:length=9,seed=0    phase:oversample=1
    neuralblur:weights=FILE,seed=0                        clouds:share=0.4,length=8,seed=0

A file name is everything after the first ":" of its step, so it may hold ":", "=", "," and spaces
inside (weights=FILE may hold no ","). A "+" starts a new step only where a letter follows:
"a+1.npy" is one name, "a+b.npy" is not (rename such a file).
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from ..errors import ConfigError, WeightsError
from ..files.arrays import read_array
from ..files.masks import load_mask
from .arrays import whole_number
from .compose import Compose
from .linear import AveragePool, Convolution, GaussianBlur, Identity
from .masks import BoxInpainting, CloudInpainting, MaskInpainting, RandomInpainting
from .motion import CameraMotionBlur
from .neural_blur import NeuralBlur
from .nonlinear import HDR
from .observed import output_shape_of
from .phase import PhaseRetrieval

Operator = Callable[[Tensor], Tensor]

_CLASSES: dict[str, Callable[..., Operator]] = {
    "avgpool": AveragePool,
    "blur": GaussianBlur,
    "box": BoxInpainting,
    "clouds": CloudInpainting,
    "conv": Convolution,
    "hdr": HDR,
    "identity": Identity,
    "inpaint": RandomInpainting,
    "motion": CameraMotionBlur,
    "neuralblur": NeuralBlur,
    "phase": PhaseRetrieval,
}
# The keys of each, their types, and what is taken where a key is left out (None: it is required).
_KEYS: dict[str, dict[str, tuple[type, float | None]]] = {
    "avgpool": {"factor": (int, None)},
    "blur": {"kernel_size": (int, 61), "std": (float, 3.0)},
    "inpaint": {"keep": (float, None), "seed": (int, 0)},
    "box": {"top": (int, None), "left": (int, None), "height": (int, None), "width": (int, None)},
    "clouds": {"share": (float, None), "length": (float, 8.0), "seed": (int, 0)},
    "hdr": {"factor": (float, 2.0)},
    "identity": {},
    "motion": {"length": (float, None), "seed": (int, 0)},
    "phase": {"oversample": (float, 1.0)},
    "neuralblur": {"weights": (str, None), "seed": (int, 0)},
}
_FILES = ("conv", "mask")
NAMES = (*_KEYS, *_FILES)


def parse(text: str, shape: tuple[int, ...], held: Mapping[str, Tensor] | None = None) -> Operator:
    """The operator that a text describes, checked against the shape of the images.

    Arguments:
        text: steps joined by "+", such as "avgpool:factor=4" or "blur:std=2+inpaint:keep=0.2".
        shape: of one x, (C, H, W) or (H, W).
        held: what `held_by` said of such an operator: masks and kernels in it are not read from
            their files again.

    Returns:
        The operator; a `Compose` if there are several steps.

    Raises:
        ConfigError: naming the step and what is wrong with it: an unknown name or key, a value that
            is missing, ill-formed or out of range, a file that cannot be read, an operator that
            does not fit the images.
        WeightsError: the weights of neuralblur cannot be used.
    """
    if len(shape) not in (2, 3):
        raise ConfigError(f"shape must be (C, H, W) or (H, W), got {tuple(shape)}")
    shape = tuple(whole_number("parse", "shape", side, 1) for side in shape)
    steps: list[Operator] = []
    for k, part in enumerate(re.split(r"\+(?=\s*[A-Za-z])", text)):
        try:
            step = _step(
                part.strip(),
                shape,
                {name: (held or {}).get(f"operator_{k}_{name}") for name in ("mask", "kernel")},
            )
            shape = output_shape_of(step, shape)
        except (ConfigError, WeightsError) as error:
            raise type(error)(f"operator {part.strip()!r}: {error}") from error
        steps.append(step)
    return steps[0] if len(steps) == 1 else Compose(steps)


def held_by(operator: Operator) -> dict[str, Tensor]:
    """The masks and kernels that an operator has from files, for a run to keep: the files may go or
    change.

    Arguments:
        operator: from `parse`.

    Returns:
        Tensors by number of the step and name.
    """
    steps = operator.steps if isinstance(operator, Compose) else (operator,)
    named = {MaskInpainting: "mask", Convolution: "kernel"}
    return {
        f"operator_{k}_{named[type(step)]}": getattr(step, named[type(step)])
        for k, step in enumerate(steps)
        if type(step) in named
    }


def _step(text: str, shape: tuple[int, ...], held: Mapping[str, Tensor | None]) -> Operator:
    name, _, rest = (piece.strip() for piece in text.partition(":"))
    if name not in NAMES:
        raise ConfigError(
            f"unknown name {name!r}{_closest(name, NAMES)}; known: {', '.join(NAMES)}"
        )
    if name in _FILES:
        return _file(name, rest, shape, held)
    values = _values(name, rest)
    if name in ("clouds", "inpaint", "motion"):
        values["shape"] = shape
    if name == "neuralblur":
        values["weights_path"] = values.pop("weights")
    return _CLASSES[name](**values)


def _values(name: str, text: str) -> dict[str, Any]:
    keys = _KEYS[name]
    given: dict[str, Any] = {}
    for item in text.split(",") if text else ():
        key, equals, value = (piece.strip() for piece in item.partition("="))
        if not equals:
            raise ConfigError(
                f"expected key=value, got {item.strip()!r}; keys of {name}: {', '.join(keys)}"
            )
        if key not in keys:
            raise ConfigError(
                f"unknown key {key!r}{_closest(key, keys)}; keys of {name}: {', '.join(keys)}"
            )
        if key in given:
            raise ConfigError(f"{key} is given twice")
        given[key] = _value(key, value, keys[key][0])
    missing = [key for key, (_, default) in keys.items() if default is None and key not in given]
    if missing:
        example = ",".join(f"{key}=..." for key in missing)
        raise ConfigError(f"{', '.join(missing)} must be given, as in {name}:{example}")
    return {key: given.get(key, default) for key, (_, default) in keys.items()}


def _value(key: str, text: str, kind: type) -> int | float | str:
    if kind is str:
        if not text:
            raise ConfigError(f"{key} must be a file, got {text!r}")
        return text
    if kind is int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise ConfigError(f"{key} must be a whole number, got {text!r}")
        return int(text)
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        raise ConfigError(f"{key} must be a finite number, got {text!r}")
    return float(text)


def _closest(word: str, words: Iterable[str]) -> str:
    match = difflib.get_close_matches(word.lower(), list(words), n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""


def _file(
    name: str, text: str, shape: tuple[int, ...], held: Mapping[str, Tensor | None]
) -> Operator:
    if not text:
        raise ConfigError(f"a file must be given, as in {name}:FILE.npy")
    if name == "mask":
        mask = held["mask"]
        return MaskInpainting(load_mask(text, shape) if mask is None else mask)
    if held["kernel"] is not None:
        return _CLASSES["conv"](held["kernel"])
    if not text.lower().endswith(".npy"):
        raise ConfigError(f"conv reads .npy files, got {text!r}: save the kernel with numpy.save")
    values = read_array(text).values
    return _CLASSES["conv"](values[0] if values.ndim == 3 and len(values) == 1 else values)
