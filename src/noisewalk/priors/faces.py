"""faces64: a DCGAN of 64 x 64 synthetic faces, read from the torch file in the package
gan-face-generate (MIT).

x = G(z): five transposed convolutions (4 x 4; the first takes z as a 1 x 1 image to 4 x 4, each
further one doubles the side), batch normalisation with stored statistics and ReLU between them,
tanh at the end. 100 numbers make 12,288, so Phi reaches few images: a photograph of another face is
matched only roughly.

Reference: Radford et al., Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks, 2016.
"""

import pickle
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import WeightsError

NUM_STAGES = 5
STATE = "netG_state_dict"


class DCGAN(nn.Module):
    """The generator.

    Arguments:
        widths: channels of z, of each stage and of the image: six numbers.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(widths)):
            layers += [
                nn.ConvTranspose2d(before, after, 4, *((1, 0) if i == 0 else (2, 1)), bias=False)
            ]
            layers += [nn.BatchNorm2d(after), nn.ReLU()] if i < len(widths) - 2 else [nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Generate.

        Arguments:
            z: (B, widths[0]).

        Returns:
            (B, widths[-1], 64, 64) in [-1, 1], in z's dtype.
        """
        weight = next(self.main.parameters())
        return self.main(z.to(weight.dtype)[:, :, None, None]).to(z.dtype)


def read_faces(path: Path) -> nn.Module:
    """Read the generator.

    Arguments:
        path: the torch file, with the generator's weights under `netG_state_dict`.

    Returns:
        A `DCGAN` in evaluation mode, without gradients: (B, 100) -> (B, 3, 64, 64).

    Raises:
        WeightsError: the file cannot be read, or keys or shapes are not a DCGAN generator's
            (named).
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"cannot read {path} as a torch file of weights: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error
    state = content.get(STATE) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise WeightsError(
            f"{path} holds no tensors under {STATE}: it is not the file of gan-face-generate"
        )
    convolutions = [f"main.{3 * i}.weight" for i in range(NUM_STAGES)]
    absent = [key for key in convolutions if key not in state or state[key].ndim != 4]
    if absent:
        raise WeightsError(
            f"{path} is not a DCGAN generator of {NUM_STAGES} stages: missing {', '.join(absent)}"
        )
    with torch.device("meta"):  # no random initialisation: the global generator stays untouched
        network = DCGAN(
            (state[convolutions[0]].shape[0], *(state[key].shape[1] for key in convolutions))
        )
    expected, found = (
        {k: tuple(v.shape) for k, v in tensors.items()} for tensors in (network.state_dict(), state)
    )
    problems = [f"missing {k}" for k in sorted(expected.keys() - found.keys())]
    problems += [f"unexpected {k}" for k in sorted(found.keys() - expected.keys())]
    problems += [
        f"{k} has shape {found[k]}, expected {expected[k]}"
        for k in sorted(expected.keys() & found.keys())
        if expected[k] != found[k]
    ]
    if problems:
        raise WeightsError(
            f"{path} is not a DCGAN generator of {NUM_STAGES} stages: {'; '.join(problems)}"
        )
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)
