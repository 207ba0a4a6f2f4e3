"""Law: a room shows its public names and nothing else, and a public name is never a module."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import pytest

import noisewalk as nw

PUBLIC = {
    "metrics": "Extractor clip_similarity covered diversity_score energy_score features fid "
    "frechet kid lpips mean_and_se name_of pairwise_lpips pixel_std psnr ssim vendi_score",
    "diagnostics": "chi2 chi2_p_value coverage ess_bulk ess_tail image_diagnostics "
    "informative_epsilon jump log_kappa mcse_mean r_hat sbc tarp tv_bound",
    "baselines": "CountedDenoiser cmedit dps lgd mpgd unguided",
}


@pytest.mark.parametrize("room", PUBLIC)
def test_a_room_shows_its_public_names_alone(room: str) -> None:
    package, names = getattr(nw, room), PUBLIC[room].split()
    assert dir(package) == package.__all__ == names
    files = [module.name for module in iter_modules(package.__path__)]
    assert set(files) & set(names) == set()
    for file in files:  # a module that is imported becomes an attribute of its package
        import_module(f"{package.__name__}.{file}")
    assert dir(package) == names
    assert [n for n in names if isinstance(getattr(package, n), ModuleType)] == []
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018
