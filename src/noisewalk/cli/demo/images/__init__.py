"""Images that no prior was trained on: 100 of the test set of Fashion-MNIST (MIT), and 100 crops of
Landsat 8 scenes (public domain)."""

from pathlib import Path

import numpy as np

from ....errors import ConfigError

GREY, COLOUR = "fashion_mnist_test.npz", "landsat_test.npz"
FILES = dict.fromkeys(("fashion32", "fashion32-ct", "fashion32-edm"), GREY)
FILES |= dict.fromkeys(("satellite64", "satellite64-edm"), COLOUR)
"""By the prior that they fit."""


def held_out_images(count: int = 100, prior: str = "fashion32") -> np.ndarray:
    """At most 100 held-out images (count, H, W, C) in uint8 for a key of `FILES`.

    Those of fashion32 are padded with black from 28 x 28. In those of satellite64 the bytes 0 to
    255 are top-of-atmosphere reflectances of 0 to 0.2; some crops overlap.
    """
    if prior not in FILES:
        raise ConfigError(f"there are no bundled images for {prior!r}, only for {', '.join(FILES)}")
    with np.load(Path(__file__).parent / FILES[prior]) as archive:
        images = archive["images"][:count]
    return images if images.ndim == 4 else np.pad(images, ((0, 0), (2, 2), (2, 2)))[..., None]
