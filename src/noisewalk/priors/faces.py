"""faces64: a DCGAN of 64 x 64 synthetic faces, read from the torch file in the package
gan-face-generate (MIT).

x = G(z) is five transposed convolutions (4 x 4). The first takes z as a 1 x 1 image to 4 x 4, each
further one doubles the side. Between them stand batch normalisation with stored statistics and
ReLU, at the end tanh. 100 numbers make 12,288, so Phi reaches few images: a photograph of another
face is matched only roughly.

Reference: Radford et al., Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks, 2016.
"""

import pickle
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from .mismatched_keys import listed, misfits, shapes_of

NUM_STAGES = 5
STATE = "netG_state_dict"


class DCGAN(nn.Module):
    """The generator; `widths` are the channels of z, of each stage and of the image."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(widths)):
            place = (1, 0) if i == 0 else (2, 1)
            layers += [nn.ConvTranspose2d(before, after, 4, *place, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU()] if i < len(widths) - 2 else [nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Images (B, widths[-1], 64, 64) in [-1, 1] of z (B, widths[0]), in z's dtype."""
        weight = next(self.main.parameters())
        return self.main(z.to(weight.dtype)[:, :, None, None]).to(z.dtype)


def read_faces(path: Path) -> nn.Module:
    """The generator in a torch file, in evaluation mode and without gradients."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"cannot read {path} as a torch file of weights: {reason}") from error
    state = content.get(STATE) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        lacks = f"{path} holds no tensors under {STATE}"
        raise WeightsError(f"{lacks}: it is not the file of gan-face-generate")
    convolutions = [f"main.{3 * i}.weight" for i in range(NUM_STAGES)]
    absent = [key for key in convolutions if key not in state or state[key].ndim != 4]
    problems = [f"missing {key}" for key in absent]
    if not problems:
        sides = (state[convolutions[0]].shape[0], *(state[key].shape[1] for key in convolutions))
        with torch.device("meta"):  # no random numbers: the global generator stays untouched
            network = DCGAN(sides)
        problems = misfits(shapes_of(network.state_dict()), shapes_of(state))
    if problems:
        what = f"a DCGAN generator of {NUM_STAGES} stages"
        raise WeightsError(f"{path} is not {what}: {listed(problems)}")
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)
