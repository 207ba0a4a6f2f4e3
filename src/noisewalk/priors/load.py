"""`load_prior`: a prior by name, Hub repository, folder or checkpoint file."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import _packages as packages
from .._checks import one_of, whole
from ..errors import ConfigError, WeightsError
from .cards import SCALING, check_card, read_card, read_cards, read_table
from .denoiser import KINDS, TIME_SCALE, NetworkDenoiser
from .labels import Label, checked_label, class_of
from .mismatched_keys import shortened
from .prior import Prior
from .request import Request, checked_backend, checked_dtype, usable_device
from .scheduled import denoiser_of
from .schedulers import SOLVERS, STEPPED, Labelled

BUNDLED = Path(__file__).parent / "bundled"
LONGEST_NAME = 1000  # of a prior or a path
HEAD_CHANNELS = 64  # per attention head of OpenAI's checkpoints
SIZE = re.compile(r"(?:imagenet|bedroom|cat)(64|256)(?!\d)")  # the image side in their names
SCHEDULERS = {
    "CMStochasticIterativeScheduler": "consistency",
    "EDMEulerScheduler": "edm",
    **{name: solver.kind for name, solver in SOLVERS.items()},
}
"""What the network is that diffusers samples with each of its schedulers."""
EDM_EULER = {
    "prediction_type": "epsilon",
    "rho": 7.0,
    "sigma_schedule": "karras",
    "final_sigmas_type": "zero",
}
"""Settings of an EDMEulerScheduler as they are read: with others its images would be other ones."""


def list_priors() -> dict[str, dict[str, Any]]:
    """The cards of all known priors: bundled, in other packages, published, on the Hub.

    Returns:
        Cards by name; a card says licence, data, kind, shape, source and noise range.

    Example:
        >>> nw.list_priors()["fashion32"]["shape"]
        [1, 32, 32]
    """
    folders = (folder for folder in sorted(BUNDLED.iterdir()) if (folder / "card.json").exists())
    return {**{folder.name: read_card(folder) for folder in folders}, **read_cards()}


@torch.inference_mode(False)
def load_prior(
    source: str | Path,
    label: Label = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    kind: str | None = None,
    size: int | None = None,
    head_channels: int | None = None,
    prompt: str | Tensor | None = None,
    compile: bool | str = False,
) -> Prior:
    """Load a pretrained prior.

    The weights never require gradients. Nothing in a weight file is ever run.

    Arguments:
        source: a name of `list_priors` ("fashion32"), a Hub repository, a folder that `noisewalk
            train` or diffusers wrote, or the path of an OpenAI .pt checkpoint.
        label: class, or the conditioning value that the card names (terrain128: 1 to 100); a list
            has a class for each image, and the rows of z are image-major.
        device: where the network lives.
        dtype: of the network's weights and arithmetic; z, x and gradients keep y's type.
        kind: "consistency" or "edm", for weights without a card; None: as a .pt's name says.
        size: image side of a .pt file without a card; None takes it from the file's name.
        head_channels: those of each attention head in a .pt file without a card; None: 64.
        prompt: of a latent model, which needs one: text, or its embedding (L, C); it is frozen.
        compile: compile the network by torch.compile, at its first calls; the name of a backend is
            "inductor" for True. J v, other processes and copies run it uncompiled.

    Returns:
        The prior.

    Raises:
        ConfigError: no such prior, or a label, kind, size or prompt that does not fit.
        WeightsError: the files are missing, corrupt or not what the card says.
        MissingExtraError: a prompt in words without the extra `latent`.

    Example:
        >>> nw.load_prior("fashion32-edm").denoiser.sigma_max
        80.0
    """
    request = Request(
        label,
        usable_device(device),
        checked_dtype(dtype),
        None if kind is None else one_of("kind", kind, KINDS),
        None if size is None else whole("size", size),
        None if head_channels is None else whole("head_channels", head_channels),
        prompt,
        checked_backend(compile),
    )
    name, path, cards = str(source), Path(source), read_cards()
    if len(name) > LONGEST_NAME:  # the operating system would not have it as a file
        raise ConfigError(f"unknown prior {shortened(name)!r}: no name is that long")
    if (BUNDLED / name / "card.json").exists():
        return _from_folder(name, BUNDLED / name, request)
    if cards.get(name, {}).get("format") == "package":
        return _from_package(name, cards[name], request)
    if path.suffix == ".pt":
        return _from_checkpoint(name, path, cards.get(path.name), request)
    if path.is_dir():
        return _from_folder(name, path, request)
    if name.count("/") == 1 and not path.exists() and not name.startswith((".", "/", "~")):
        from .hub import cached_copy, fetch_repository

        folder = cached_copy(name) or fetch_repository(name)
        return _from_folder(name, folder, request, cards.get(name))
    packaged = [n for n, card in list_priors().items() if card.get("format") in (None, "package")]
    raise ConfigError(
        f"unknown prior {name!r}: choose one of {', '.join(packaged)}, or give a folder, a .pt "
        "checkpoint or a Hub repository such as owner/name"
    )


def _from_folder(
    name: str, folder: Path, request: Request, known: Mapping[str, Any] | None = None
) -> Prior:
    from .diffusers import read_unet
    from .latent import pipeline_of

    if pipeline_of(folder) is not None:
        return _latent(name, folder, request)
    if (folder / "card.json").exists():
        card = read_card(folder)
    else:
        card = dict(known or _card_of_pipeline(folder, request))
    unet = folder / "unet" if (folder / "unet").is_dir() else folder
    return _denoising(name, card, read_unet(unet, card.get("sha256")), request)


def _card_of_pipeline(folder: Path, request: Request) -> dict[str, Any]:
    """What the scheduler in a diffusers folder says of the network."""
    if not any((place / "config.json").exists() for place in (folder, folder / "unet")):
        lacks = f"{folder} has no card.json and no unet/config.json"
        raise WeightsError(f"{lacks}: give a folder that `noisewalk train` or diffusers wrote")
    path = folder / "scheduler" / "scheduler_config.json"
    scheduler = read_table(path) if path.exists() else {}
    called = scheduler.get("_class_name")
    if called is not None and (not isinstance(called, str) or called not in SCHEDULERS):
        allowed = f"{path} is of a {shortened(called)}, and one of {', '.join(SCHEDULERS)} is read"
        raise WeightsError(f"{allowed}: save the pipeline with one of them")
    kind = request.kind if called is None else SCHEDULERS[called]
    if kind is None:
        lacks = f"{folder} has no card.json and no scheduler that says what the network is"
        raise WeightsError(f"{lacks}: give kind='consistency' or kind='edm'")
    if kind not in KINDS and request.kind not in (None, kind):
        raise WeightsError(
            f"{folder} is of kind {kind!r} by its {called}, got kind={request.kind!r}, under which "
            "its images would be wrong: leave kind out"
        )
    if kind in STEPPED:
        return {"kind": kind, "scheduler": scheduler}
    card = {"kind": kind, **{key: scheduler.get(key, value) for key, value in SCALING.items()}}
    if called == "EDMEulerScheduler":
        card["time_scale"] = 0.25
        for key, read in EDM_EULER.items():
            if (got := scheduler.get(key, read)) != read:
                told = f"{key} {read} is read, got {shortened(got)}"
                raise WeightsError(f"{path}: of EDMEulerScheduler, {told}")
    check_card(card, path)
    return card


def _from_package(name: str, card: Mapping[str, Any], request: Request) -> Prior:
    label, side = checked_label(name, card, request.label), card["shape"][-1]
    if isinstance(label, tuple):
        raise ConfigError(f"{name} takes one label, which its weights hold: got {request.label}")
    if name == "faces64":
        from .faces import read_faces

        request.check(name, card["kind"], side)
        request.check_prompt(name)
        network = read_faces(packages.locate(**card["archive"]))
        return Prior(name, card, None, request.placed(network))
    from .openai import infer, to_unet
    from .terrain import read_terrain

    path = packages.locate(**card["archive"])
    state = read_terrain(path, float(label or 0))
    network = to_unet(state, infer(state, side, card["head_channels"], str(path)))
    return _denoising(name, card, network, request, labelled=True)


def _from_checkpoint(
    name: str, path: Path, known: Mapping[str, Any] | None, request: Request
) -> Prior:
    from .openai import infer, read_state, to_unet

    if not path.is_file() and known is not None:
        path = packages.cache_folder() / path.name
        if not path.is_file():
            get = f"download it from {known['source']}"
            raise WeightsError(
                f"{path.name} is not here: {get} and give its path, or put it at {path}"
            )
    if not path.is_file():
        raise WeightsError(f"{path} is missing: give the path of a .pt checkpoint")
    card = dict(known or _side_card(path, request))
    named = SIZE.search(path.name)
    size = card["shape"][-1] if "shape" in card else request.size or (named and int(named[1]))
    if size is None:
        raise ConfigError(f"the name {path.name} does not say its image side: give size= (--size)")
    state = read_state(path, card.get("sha256"))
    heads = card.get("head_channels") or request.head_channels or HEAD_CHANNELS
    found = infer(state, size, heads, str(path))
    shape = (found.in_channels, size, size)
    if found.in_channels != found.out_channels or tuple(card.get("shape", shape)) != shape:
        maps = f"{path} maps {found.in_channels} to {found.out_channels} channels"
        raise WeightsError(f"{maps}, its card says shape {card.get('shape')}")
    return _denoising(name, {**card, "shape": list(shape)}, to_unet(state, found), request)


def _side_card(path: Path, request: Request) -> dict[str, Any]:
    """The card NAME.json beside NAME.pt, completed by what the caller and the name say."""
    kind = request.kind or ("edm" if path.name.startswith("edm_") else "consistency")
    side = path.with_suffix(".json")
    card = {"kind": kind, **SCALING, **(read_table(side) if side.exists() else {})}
    check_card(card, side)
    return card


def _denoising(
    name: str, card: Mapping[str, Any], network: nn.Module, request: Request, labelled: bool = False
) -> Prior:
    """The prior around a network; `labelled` means that its weights hold the label already."""
    config: Any = network.config
    side, channels = config["sample_size"], config["in_channels"]
    if not isinstance(side, int) or channels != config["out_channels"]:
        raise WeightsError(
            f"the network of {name} has sample_size {side}, in_channels {channels}, out_channels "
            f"{config['out_channels']}: a denoiser has one whole number as sample_size and as many "
            "channels out as in"
        )
    request.check_prompt(name)
    if card["kind"] in STEPPED:
        shape = (channels, side, side)
        card = {**card, "shape": list(shape)}
        label = class_of(name, card, request.label, config.get("num_class_embeds"))
        module = Labelled(request.placed(network), label)
        levels = denoiser_of(module, shape, card["scheduler"])
        return Prior(name, card, levels, network=module)
    unshuffle = int(card.get("unshuffle", 1))
    shape = (channels // unshuffle**2, side * unshuffle, side * unshuffle)
    card = {**SCALING, "shape": list(shape), **card}
    if tuple(card["shape"]) != shape:
        raise WeightsError(
            f"the card of {name} says shape {tuple(card['shape'])}, the network makes {shape}: one "
            "of them is of another prior"
        )
    request.check(name, card["kind"], shape[-1], config["attention_head_dim"])
    classes = None if labelled else config.get("num_class_embeds")
    one = class_of(name, card, request.label, classes)
    network = request.placed(network)
    low, high, std = (float(card[key]) for key in SCALING)
    parts = network, card["kind"], shape, low, high, std, unshuffle, one
    time_scale = float(card.get("time_scale", TIME_SCALE))
    return Prior(name, card, NetworkDenoiser(*parts, time_scale=time_scale))


def _latent(name: str, folder: Path, request: Request) -> Prior:
    from .latent import read_pipeline

    checked_label(name, {}, request.label)
    request.check(name, "latent")
    pipeline = read_pipeline(folder, request.prompt)
    for part in (pipeline.network, pipeline.decoder):
        request.placed(part.network)
        part.to(request.device)  # the prompt stays in float32
    card = {"kind": "latent", "shape": list(pipeline.shape), "guidance": pipeline.guidance}
    return Prior(name, card, None, latent=pipeline)
