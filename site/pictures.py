"""Draw the picture of docs/concepts.md: noise, images, a measurement and posterior draws.

python site/pictures.py
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure

import noisewalk as nw

ROWS = 4
OUT = Path(__file__).parents[1] / "docs" / "images" / "concepts.png"


def main() -> None:
    """Sample from one measurement and write the picture."""
    prior = nw.load_prior("fashion32")
    phi = prior.map()
    z = torch.randn(3, *phi.shape, generator=torch.Generator().manual_seed(4)).flip(0)
    with torch.no_grad():
        x = phi(z)
    operator, likelihood = nw.operators.AveragePool(4), nw.likelihoods.Gaussian(0.1)
    y = nw.simulate(operator, likelihood, x[:1])
    run = nw.sample(nw.NoisePosterior(phi, operator, likelihood, y))
    rows = {
        "z, the noise": [*z],
        "x = Phi(z)": [*x],
        "y, measured of the first x": [y[0]],
        "posterior draws, their mean,\ntheir standard deviation": [
            *run.draws[0, :4, -1],
            run.mean[0],
            run.std[0],
        ],
    }
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(ROWS, 7)
    for line, (title, images) in zip(axes, rows.items(), strict=True):
        line[0].text(1, 0.5, title, ha="right", va="center", transform=line[0].transAxes)
        for place in line:
            place.axis("off")
        for k, (place, image) in enumerate(zip(line[1:], images, strict=False)):
            scale = {"vmin": 0.0, "cmap": "magma"} if k == 5 else {"vmin": -1.0, "vmax": 1.0}
            place.imshow(image[0], **{"cmap": "gray", **scale})
    figure.savefig(OUT, dpi=110)


if __name__ == "__main__":
    main()
