"""Where the weights of a prior are, and how large."""

from pathlib import Path

import pytest

from noisewalk.priors import on_disk
from noisewalk.priors.load import list_priors


def test_a_bundled_prior_is_here_with_the_size_of_its_file() -> None:
    found = on_disk.where("fashion32", list_priors()["fashion32"])
    assert found is not None
    size = on_disk.size_of("fashion32", {})
    assert size == found.stat().st_size > 1_000_000


def test_a_size_that_the_card_gives_is_taken() -> None:
    assert on_disk.size_of("anything", {"size": 12}) == 12
    assert on_disk.size_of("anything", {"approximate_size": 2e9}) == 2_000_000_000


def test_a_checkpoint_is_here_once_it_is_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOISEWALK_CACHE", str(tmp_path))
    card = {"format": "openai"}
    assert on_disk.where("edm_bedroom256_ema.pt", card) is None
    (tmp_path / "edm_bedroom256_ema.pt").touch()
    assert on_disk.where("edm_bedroom256_ema.pt", card) == tmp_path / "edm_bedroom256_ema.pt"
    archive = {"package": "nowhere", "version": "1", "member": "weights.onnx"}
    assert on_disk.where("terrain128", {"format": "package", "archive": archive}) is None
