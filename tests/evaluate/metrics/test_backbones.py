"""The reader of LPIPS's networks: kernels the right way round, and every fault of a file named."""

import pickle

import numpy as np
import pytest
import torch

from noisewalk.errors import WeightsError
from noisewalk.evaluate.metrics import backbones
from noisewalk.evaluate.metrics.backbones import Backbone, read_backbone


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Networks of a few channels: the files of the tests are then small."""
    monkeypatch.setattr(backbones, "ALEXNET", ((2,), (3,), (4,), (3,), (2,)))
    monkeypatch.setattr(backbones, "VGG16", ((2, 3), (2, 4), (3, 2, 3), (2, 2, 4), (3, 3, 2)))


def tree(net):
    """A file's content, of random numbers."""
    random = np.random.default_rng(0)
    with torch.device("meta"):
        network = Backbone(net)
    layers = {}
    for i, (_, layer) in enumerate(network.convolutions()):
        out, into, height, width = layer.weight.shape
        layers[f"Conv_{i}"] = {
            "kernel": random.normal(size=(height, width, into, out)).astype("f4"),
            "bias": random.normal(size=out).astype("f4"),
        }
    heads = {
        f"NetLinLayer_{i}": {"Conv_0": {"kernel": random.random((1, 1, len(head), 1)).astype("f4")}}
        for i, head in enumerate(network.heads)
    }
    return {backbones.PREFIX[net]: layers, **heads}


def written(folder, content):
    path = folder / "net.ckpt"
    path.write_bytes(pickle.dumps(content, 3))
    return path


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_the_first_output_is_the_convolution_written_out(tmp_path, net):
    content = tree(net)
    network = read_backbone(written(tmp_path, content), net)
    x = torch.rand(1, 3, 33, 35, generator=torch.Generator().manual_seed(0)) * 2 - 1
    first = content[backbones.PREFIX[net]]["Conv_0"]
    size, stride, padding = (11, 4, 2) if net == "alex" else (3, 1, 1)
    normalised = (
        (x[0].numpy() - np.array(backbones.SHIFT)[:, None, None])
        / np.array(backbones.SCALE)[:, None, None]
    ).transpose(1, 2, 0)
    padded = np.pad(normalised, ((padding, padding), (padding, padding), (0, 0)))
    i, j = 5, 3
    patch = padded[i * stride : i * stride + size, j * stride : j * stride + size]
    expected = np.maximum((patch[..., None] * first["kernel"]).sum((0, 1, 2)) + first["bias"], 0)
    got = network.stages[0][:2]((x - network.shift) / network.scale)[0, :, i, j]
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-4, atol=1e-4)
    outputs = network(x)
    assert [len(f[0]) for f in outputs] == [len(head) for head in network.heads]
    assert all(bool((f >= 0).all()) for f in outputs)
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_faults_of_a_file_are_named(tmp_path, net):
    prefix = backbones.PREFIX[net]
    content = tree(net)
    content[prefix]["Conv_1"].pop("bias")
    content[prefix]["Conv_2"]["kernel"] = np.zeros((1, 1, 1, 1), "f4")
    content["NetLinLayer_3"] = {"Conv_0": {"kernel": np.zeros((1, 1, 99, 1), "f4")}}
    content["extra"] = np.zeros(1, "f4")
    with pytest.raises(WeightsError) as caught:
        read_backbone(written(tmp_path, content), net)
    for says in (
        f"missing {prefix}/Conv_1/bias",
        "unexpected extra",
        f"{prefix}/Conv_2/kernel has shape (1, 1, 1, 1)",
        "NetLinLayer_3/Conv_0/kernel has shape (1, 1, 99, 1)",
    ):
        assert says in str(caught.value)


def test_one_network_is_not_read_as_the_other(tmp_path):
    with pytest.raises(WeightsError, match="does not hold LPIPS with net 'vgg'"):
        read_backbone(written(tmp_path, tree("alex")), "vgg")
