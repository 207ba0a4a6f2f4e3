"""Images that ship with the package: the first 100 of Fashion-MNIST's test set (MIT), which no prior was trained on."""

from pathlib import Path

import numpy as np


def held_out_images(count: int = 100) -> np.ndarray:
    """Held-out Fashion-MNIST images.

    Arguments:
        count: how many, at most 100.

    Returns:
        (count, 32, 32) uint8, the 28x28 originals padded with black.
    """
    with np.load(Path(__file__).parent / "fashion_mnist_test.npz") as archive:
        return np.pad(archive["images"][:count], ((0, 0), (2, 2), (2, 2)))
