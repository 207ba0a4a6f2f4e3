"""terrain128: the network agrees with the file's own graph, folding the difficulty is exact,
heights are the package's."""

import sys

import numpy as np
import pytest
import torch

from noisewalk import noise
from noisewalk._packages import locate
from noisewalk.errors import ConfigError, MissingExtraError, WeightsError
from noisewalk.priors.cards import read_cards
from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.openai import infer, to_unet
from noisewalk.priors.terrain import from_metres, read_terrain, to_metres

CARD = read_cards()["terrain128"]
LEVELS = {1: (80.0, 0.5), 37.5: (10.0, 0.05), 100: (80.0, 2.0)}
"""Noise levels by difficulty."""


@pytest.fixture(scope="module")
def weights():
    pytest.importorskip("onnx")
    try:
        return locate(**CARD["archive"])
    except WeightsError as error:
        if "is missing" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def inputs():
    """(rows, 1, 128, 128) noisy ramps, their noise levels and difficulties."""
    sigma = torch.tensor([level for levels in LEVELS.values() for level in levels])
    difficulty = torch.tensor([float(d) for d, levels in LEVELS.items() for _ in levels])
    ramp = torch.linspace(-1, 1, 128).expand(1, 128, 128)
    x_t = ramp + sigma.view(-1, 1, 1, 1) * noise.rows(0, len(sigma)).normal(
        (1, 128, 128), noise.PROBE
    )
    return x_t, sigma, difficulty


@pytest.fixture(scope="module")
def graph_outputs(weights, inputs):
    """What the file's own graph makes of the inputs: clamped, and before its last node, which
    clamps."""
    onnx, ort = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model = onnx.load(weights)
    clip = model.graph.node[-1]
    assert clip.op_type == "Clip"
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(clip.input[0]))
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    x_t, sigma, difficulty = inputs
    feeds = {
        "noisy": x_t.numpy(),
        "sigma": sigma.numpy(),
        "difficulty": ((difficulty - 1) / 99).numpy(),
    }
    return [torch.from_numpy(out) for out in session.run(None, feeds)]


def load(path, difficulty):
    state = read_terrain(path, difficulty)
    return NetworkDenoiser(
        to_unet(state, infer(state, 128, CARD["head_channels"], str(path))),
        CARD["kind"],
        tuple(CARD["shape"]),
    )


@pytest.mark.parametrize("difficulty", LEVELS)
def test_the_network_agrees_with_the_files_own_graph(weights, inputs, graph_outputs, difficulty):
    x_t, sigma, difficulties = inputs
    rows = difficulties == difficulty
    assert rows.sum() == len(LEVELS[difficulty])
    denoiser = load(weights, difficulty)
    with torch.no_grad():
        x = denoiser(x_t[rows], sigma[rows])
    clamped, raw = (out[rows] for out in graph_outputs)
    torch.testing.assert_close(x, raw, rtol=0, atol=1e-4)
    torch.testing.assert_close(x.clamp(-1, 1), clamped, rtol=0, atol=1e-4)
    assert x.std() > 1e-2  # the agreement is not one of constants
    assert sum(p.numel() for p in denoiser.network.parameters()) == CARD["parameters"]


def test_the_difficulty_reaches_one_bias_only(weights):
    one, other = read_terrain(weights, 1), read_terrain(weights, 2)
    assert {key for key in one if not torch.equal(one[key], other[key])} == {"time_embed.2.bias"}
    assert not [key for key in one if key.startswith(("label_emb", "network.", "val_"))]


def test_a_difficulty_out_of_range_is_refused(tmp_path):
    for difficulty in [0, 100.5, -1, float("nan"), True, "50"]:
        with pytest.raises(
            ConfigError, match="difficulty must be a finite number of at least 1 and of at most 100"
        ):
            read_terrain(tmp_path / "any.onnx", difficulty)


def test_without_onnx_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'noisewalk\[onnx\]'"):
        read_terrain(tmp_path / "any.onnx", 1)


def write(path, nodes, values):
    """A graph of (operation, inputs, output) and constants filled with numbers that tell them
    apart."""
    onnx = pytest.importorskip("onnx")
    tensors = {
        name: np.full(shape, i, np.float32) for i, (name, shape) in enumerate(values.items(), 1)
    }
    parts = [
        onnx.helper.make_node(operation, inputs, [output], name=output)
        for operation, inputs, output in nodes
    ]
    initializers = [onnx.numpy_helper.from_array(tensor, name) for name, tensor in tensors.items()]
    onnx.save(
        onnx.helper.make_model(onnx.helper.make_graph(parts, "g", [], [], initializers)), path
    )
    return tensors


NORM = [
    ("InstanceNormalization", ["x"], "a"),
    ("Reshape", ["a", "x"], "b"),
    ("Mul", ["b", "scale"], "c"),
    ("Add", ["c", "shift"], "d"),
]
CONV = [("Sigmoid", ["d"], "e"), ("Conv", ["e", "network.out.2.weight"], "f")]
EMBEDDINGS = {
    "label_emb.0.weight": (4, 1),
    "label_emb.0.bias": 4,
    "label_emb.2.weight": (4, 4),
    "label_emb.2.bias": 4,
    "time_embed.2.bias": 4,
}
VALUES = {
    "scale": (3, 1, 1),
    "shift": (3, 1, 1),
    "network.out.2.weight": (1, 3, 1, 1),
    **{f"network.{k}": v for k, v in EMBEDDINGS.items()},
}


def test_norms_are_named_after_the_convolution_that_follows(tmp_path):
    tensors = write(tmp_path / "g.onnx", [*NORM, *CONV], VALUES)
    state = read_terrain(tmp_path / "g.onnx", 100)
    assert set(state) == {"out.0.weight", "out.0.bias", "out.2.weight", "time_embed.2.bias"}
    assert np.array_equal(state["out.0.weight"], tensors["scale"].ravel())
    assert np.array_equal(state["out.0.bias"], tensors["shift"].ravel())
    w0, b0, w2, b2, bias = (tensors[f"network.{key}"].astype(np.float64) for key in EMBEDDINGS)
    hidden = w0[:, 0] + b0
    expected = bias + w2 @ (hidden / (1 + np.exp(-hidden))) + b2
    torch.testing.assert_close(
        state["time_embed.2.bias"].double(), torch.from_numpy(expected), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize(
    ("nodes", "values", "message"),
    [
        (
            [*NORM, *CONV],
            {k: v for k, v in VALUES.items() if "label_emb.2" not in k},
            r"lacks label_emb\.2\.weight, label_emb\.2\.bias",
        ),
        (NORM[:3] + CONV, VALUES, "a is not a GroupNorm before a convolution"),
        (NORM[:1], VALUES, "a is not a GroupNorm before a convolution"),
        (
            [*NORM, *[(o, [*i], f"{out}2") for o, i, out in NORM], *CONV],
            VALUES,
            "is not a GroupNorm before a convolution",
        ),
        (
            [*NORM, *CONV],
            {**VALUES, "scale": (2, 1, 1)},
            r"the GroupNorm before out\.2\.weight does not fit",
        ),
        (
            [*NORM, ("Conv", ["d", "network.time_embed.2.bias"], "f")],
            VALUES,
            r"the GroupNorm before time_embed\.2\.bias does not fit",
        ),
        (NORM, VALUES, "no convolution after the last GroupNorm"),
    ],
    ids=[
        "no label embedding",
        "no shift",
        "no scale",
        "two norms in a row",
        "widths differ",
        "another convolution",
        "no convolution",
    ],
)
def test_another_graph_is_refused_by_name(tmp_path, nodes, values, message):
    write(tmp_path / "g.onnx", nodes, values)
    with pytest.raises(WeightsError, match=message):
        read_terrain(tmp_path / "g.onnx", 1)


def test_a_file_that_is_no_onnx_is_refused(tmp_path):
    pytest.importorskip("onnx")
    (tmp_path / "bad.onnx").write_bytes(b"\xff" * 64)
    for name in ("bad.onnx", "absent.onnx"):
        with pytest.raises(WeightsError, match=f"cannot read .*{name}"):
            read_terrain(tmp_path / name, 1)


def test_metres_are_the_packages_and_invert():
    x = torch.tensor([-1.0, -0.5, 0.0, 0.25, 0.75, 1.0])
    made = torch.tensor(
        [
            0.0,
            0.21854041516780853,
            1.0504491329193115,
            2.2541797161102295,
            10.348673820495605,
            22.16864013671875,
        ]
    )
    torch.testing.assert_close(
        to_metres(x), made, rtol=2e-6, atol=1e-7
    )  # adaptive-terrain-diffusion 0.4.2's own numbers for these x, in float32
    wide = torch.linspace(-1.5, 1.5, 31, dtype=torch.float64)
    torch.testing.assert_close(from_metres(to_metres(wide)), wide, rtol=0, atol=1e-12)
