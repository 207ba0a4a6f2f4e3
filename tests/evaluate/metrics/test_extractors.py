"""Features: named extractors, one's own, and clear errors."""

import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.evaluate.metrics import Extractor, features, name_of


def images(batch=3, channels=1, size=32):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, channels, size, size, generator=generator) * 2 - 1


def test_one_extractor_of_ones_own_is_called_batch_by_batch():
    x, sizes = images(5, channels=3, size=4), []
    got = features(x, lambda batch: sizes.append(len(batch)) or batch.flatten(1), batch_size=2)
    assert torch.equal(got, x.flatten(1))
    assert sizes == [2, 2, 1]


def test_extractors_have_names():
    def mine(batch):
        return batch.flatten(1)

    named, x = Extractor("pixels", mine), images(2)
    names = [name_of(e) for e in (named, mine, "resnet50", torch.nn.Flatten())]
    assert names == ["pixels", "mine", "resnet50", "Flatten"]
    assert torch.equal(features(x, named), x.flatten(1))
    for bad in (("", mine), (3, mine), ("pixels", None)):
        with pytest.raises(ConfigError, match="a name and a function"):
            Extractor(*bad)


def test_bad_arguments_are_refused():
    for bad in (images()[0], images(channels=2), images(0), images().to(torch.int64)):
        with pytest.raises(ConfigError, match="images"):
            features(bad)
    with pytest.raises(ConfigError, match="'inception': choose one of efficientnet-lite0"):
        features(images(), extractor="inception")
    with pytest.raises(ConfigError, match="batch_size"):
        features(images(), batch_size=0)
