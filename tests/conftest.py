"""What the tests of several rooms share."""

from typing import Any

import pytest


@pytest.fixture(scope="session")
def unet() -> Any:
    """A tiny network of diffusers' with random weights, whose attention hands group norm strides
    that are out of order."""
    import torch
    from diffusers import UNet2DModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet2DModel(
            sample_size=8,
            in_channels=1,
            out_channels=1,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
            attention_head_dim=8,
        ).eval()
