"""Images that ship with the package, which no prior was trained on: 100 of Fashion-MNIST's test set (MIT), 100 crops of Landsat 8 scenes (public domain)."""

from pathlib import Path

import numpy as np

FILES = {"fashion32": "fashion_mnist_test.npz", "satellite64": "landsat_test.npz"}
"""By the prior that they fit."""


def held_out_images(count: int = 100, prior: str = "fashion32") -> np.ndarray:
    """Held-out images.

    Arguments:
        count: how many, at most 100.
        prior: a key of `FILES`.

    Returns:
        uint8, (count, 32, 32) for "fashion32", the 28x28 originals padded with black, and (count, 64, 64, 3) for "satellite64", of which 0 to 255 are
        top-of-atmosphere reflectances 0 to 0.2 (`examples/satellite_data.py`).
    """
    with np.load(Path(__file__).parent / FILES[prior]) as archive:
        images = archive["images"][:count]
    return np.pad(images, ((0, 0), (2, 2), (2, 2))) if prior == "fashion32" else images
