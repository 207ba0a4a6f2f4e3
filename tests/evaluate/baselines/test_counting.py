import torch
from toys import Smooth

from noisewalk.evaluate.baselines import CountedDenoiser
from noisewalk.types import Denoiser


def test_a_counted_denoiser_counts_rows_and_changes_nothing() -> None:
    plain, counted = Smooth(), CountedDenoiser(Smooth())
    x, sigma = plain.images(3), torch.tensor(2.0)
    assert torch.equal(counted(x, sigma), plain(x, sigma))
    counted(x[:2], sigma)
    assert counted.nfe == 5
    assert isinstance(counted, Denoiser)
    assert (counted.shape, counted.sigma_min, counted.sigma_max) == (
        plain.shape,
        plain.sigma_min,
        plain.sigma_max,
    )
    assert "nfe=5" in repr(counted)
