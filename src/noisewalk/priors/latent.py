r"""Latent consistency and turbo models: one network call on latent noise, then a decoder.

$$\Phi(z) = \mathrm{decode}\big((a\, c z + b\, F(s\, c z, t)) / \gamma\big)$$
The numbers a, b, c, s and t are those of the folder's scheduler in one step; $\gamma$ is the
decoder's `scaling_factor`. The network F sees a prompt, frozen, and, where it has an embedding for
it, a guidance scale.

References: Luo et al., Latent Consistency Models, 2023; Sauer et al., Adversarial Diffusion
Distillation, 2023.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual
from torch.utils.checkpoint import checkpoint

from .._intake import plain
from .._repr import describe
from ..errors import ConfigError, MissingExtraError, WeightsError
from ..maps.latent import Latent
from ..maps.steps import Schedule, Steps
from .cards import read_table
from .diffusers import read_network
from .mismatched_keys import shortened
from .schedulers import Solver, schedule_of

PIPELINES = {"LatentConsistencyModelPipeline": 8.5, "StableDiffusionPipeline": 7.5}
"""What is read, with its usual guidance scale, for networks that have an embedding for it."""
SCHEDULERS = {
    "LCMScheduler": Solver("latent", "LCMScheduler", "lcm"),
    "EulerDiscreteScheduler": Solver("latent", "EulerDiscreteScheduler", "euler"),
}
DECODERS = ("AutoencoderKL", "AutoencoderTiny")
TEXT = ("tokenizer", "text_encoder")
"""Folders that a prompt in words needs."""


class Conditioned(nn.Module):
    """F(x, t) of a `UNet2DConditionModel` in its own type, with its prompt and guidance frozen."""

    prompt: Tensor
    guidance: Tensor | None

    def __init__(self, network: Any, prompt: Tensor, guidance: Tensor | None) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("prompt", prompt)  # (1, L, C)
        self.register_buffer("guidance", guidance)  # (1, time_cond_proj_dim)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """F(x, t), (B, C, H, W) in the type of x."""
        dtype, count = next(self.network.parameters()).dtype, len(x)
        seen = self.prompt.to(dtype).expand(count, -1, -1)
        scale = None if self.guidance is None else self.guidance.to(dtype).expand(count, -1)
        times = t.to(torch.float32)
        made = self.network(x.to(dtype), times, encoder_hidden_states=seen, timestep_cond=scale)
        return made.sample.to(x.dtype)


class Decoder(nn.Module):
    """Latents to images by an autoencoder of diffusers, in its own type; with `again` the backward
    pass runs it again, for less memory."""

    def __init__(self, network: Any, again: bool = False) -> None:
        super().__init__()
        self.network, self.again = network, again

    def forward(self, x: Tensor) -> Tensor:
        """(B, *latent) -> (B, C, H, W) in the type of x."""
        forward_mode = unpack_dual(x).tangent is not None
        if self.again and torch.is_grad_enabled() and not forward_mode:
            return checkpoint(self._decode, x, use_reentrant=False, preserve_rng_state=False)
        return self._decode(x)

    def _decode(self, x: Tensor) -> Tensor:
        config = self.network.config
        shift = config.get("shift_factor") or 0.0
        dtype = next(self.network.parameters()).dtype
        latents = x / config["scaling_factor"] + shift
        return self.network.decode(latents.to(dtype)).sample.to(x.dtype)


@dataclass(frozen=True, eq=False)
class Pipeline:
    """What a folder of a latent pipeline holds."""

    network: Conditioned
    decoder: Decoder
    schedule: Schedule
    shape: tuple[int, int, int]  # of an image
    factor: int  # pixels of the image along each pixel of a latent
    guidance: float | None

    def map(self, shape: tuple[int, ...], checkpoint: bool) -> Latent:
        """The map to images (C, H, W) from latent noise, whose sides are `factor` times smaller."""
        channels, sides = self.network.network.config["in_channels"], shape[1:]
        latent = (channels, *(side // self.factor for side in sides))
        gradient = "checkpoint" if checkpoint else "direct"
        steps = Steps(self.network, latent, self.schedule, gradient)
        return Latent(steps, Decoder(self.decoder.network, checkpoint), shape)

    @property
    def multiple(self) -> int:
        """What the sides of an image must be multiples of."""
        return self.factor * 2 ** (len(self.network.network.config["block_out_channels"]) - 1)


def read_pipeline(folder: Path, prompt: str | Tensor | None) -> Pipeline:
    """The parts of a pipeline, whose prompt is turned into its embedding."""
    name = str(pipeline_of(folder))
    if name not in PIPELINES:
        read = f"{folder} is of a {shortened(name)}, and of latent models"
        raise WeightsError(f"{read} {' and '.join(PIPELINES)} are read")
    path = folder / "scheduler" / "scheduler_config.json"
    schedule = _one_step(path, read_table(path))
    unet: Any = read_network(folder / "unet", ("UNet2DConditionModel",))
    vae: Any = read_network(folder / "vae", DECODERS)
    config, factor = unet.config, _factor(vae)
    side, channels = config["sample_size"], config["in_channels"]
    if not isinstance(side, int) or channels != config["out_channels"]:
        raise WeightsError(f"{folder}/unet must have one side and as many channels out as in")
    if channels != vae.config["latent_channels"]:
        has = f"{channels} channels and the decoder {vae.config['latent_channels']}"
        raise WeightsError(f"the network of {folder} has {has}: one is of another pipeline")
    width = config["time_cond_proj_dim"]
    guidance = None if width is None else PIPELINES[name]
    scale = None if guidance is None else guidance_embedding(guidance - 1, width)
    network = Conditioned(unet, _prompt(folder, prompt, config["cross_attention_dim"]), scale)
    shape = (vae.config["out_channels"], side * factor, side * factor)
    return Pipeline(network, Decoder(vae), schedule, shape, factor, guidance)


def pipeline_of(folder: Path) -> str | None:
    """The class of a folder's pipeline of latents, None where it is none."""
    path = folder / "model_index.json"
    index = read_table(path) if path.is_file() else {}
    return str(index.get("_class_name")) if "vae" in index else None


def guidance_embedding(scale: float, size: int) -> Tensor:
    """(1, size) sines and cosines of 1000 times the scale w, as the networks were trained with."""
    half = size // 2
    rates = torch.exp(-torch.arange(half) * (torch.log(torch.tensor(10000.0)) / (half - 1)))
    angles = 1000.0 * scale * rates
    made = torch.cat([angles.sin(), angles.cos()])
    return nn.functional.pad(made, (0, size % 2))[None]


def _one_step(path: Path, config: Mapping[str, Any]) -> Schedule:
    name = config.get("_class_name")
    if name not in SCHEDULERS:
        reads = f"{path} is of a {shortened(name)}, and a latent model takes one network call with"
        raise WeightsError(f"{reads} {' or '.join(SCHEDULERS)}: save the pipeline with one of them")
    schedule, total = schedule_of(SCHEDULERS[name], config, 1), config["num_train_timesteps"]
    if schedule.times[0] < total / 2:
        starts = f"{path} has its one step at the time {schedule.times[0]:g} of {total}"
        raise WeightsError(f"{starts}, not at the noise: give it timestep_spacing 'trailing'")
    return schedule


def _factor(vae: Any) -> int:
    """Pixels of the image along each pixel of a latent, as the decoder makes them."""
    with torch.no_grad():
        made = vae.decode(torch.zeros(1, vae.config["latent_channels"], 8, 8)).sample
    return int(made.shape[-1]) // 8


def _prompt(folder: Path, prompt: str | Tensor | None, width: int) -> Tensor:
    """(1, L, C) the embedding of a prompt."""
    if prompt is None:
        need = f'{folder} needs a prompt: give prompt="..." (--prompt), "" for none'
        raise ConfigError(f"{need}, or its embedding, a tensor (L, {width})")
    made = _embedded(folder, prompt) if isinstance(prompt, str) else plain("prompt", prompt)
    made = made[None] if made.ndim == 2 else made
    fits = made.ndim == 3 and len(made) == 1 and made.shape[2] == width
    if not fits or not made.is_floating_point():
        must = f"prompt must be text, or its embedding (L, {width})"
        raise ConfigError(f"{must}, got {describe(made)}")
    return made.float()


def _embedded(folder: Path, text: str) -> Tensor:
    try:
        from transformers import CLIPTextModel, CLIPTokenizer
    except ImportError as error:
        raise MissingExtraError("transformers", "latent") from error
    for part in TEXT:
        if not (folder / part).is_dir():
            lacks = f"{folder} has no {part}, which a prompt in words needs"
            raise WeightsError(f"{lacks}: give the prompt's embedding, a tensor (L, C)")
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder / TEXT[0], local_files_only=True)
        encoder = CLIPTextModel.from_pretrained(folder / TEXT[1], local_files_only=True).eval()
        longest = tokenizer.model_max_length
        tokens = tokenizer(text, padding="max_length", max_length=longest, return_tensors="pt")
        ids = tokens.input_ids
        if ids.shape[1] > longest:
            raise ConfigError(f"prompt has {ids.shape[1]} tokens, and {longest} are the most")
        with torch.no_grad():
            return encoder(ids)[0]
    except ConfigError:
        raise
    except Exception as error:  # transformers meets bad files with errors of any kind
        raise WeightsError(f"cannot read the prompt by {folder}: {shortened(error)}") from error
