"""faces64: the file's weights do what its layers say, and another file is refused by name."""

import pytest
import torch
import torch.nn.functional as F

from noisewalk import noise
from noisewalk._packages import locate
from noisewalk.errors import WeightsError
from noisewalk.priors.cards import read_cards
from noisewalk.priors.faces import DCGAN, read_faces

CARD = read_cards()["faces64"]
WIDTHS = (5, 8, 6, 4, 2, 1)


@pytest.fixture(scope="module")
def real():
    try:
        return locate(**CARD["archive"])
    except WeightsError as error:
        if "is missing" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture
def state():
    """A small generator's weights, none of them trivial."""
    shapes = {k: v.shape for k, v in DCGAN(WIDTHS).state_dict().items()}
    values = {
        k: noise.rows(i, 1).normal(tuple(s), noise.PROBE)[0] if s else torch.tensor(7)
        for i, (k, s) in enumerate(shapes.items())
    }
    return {k: v.abs() + 0.5 if "running_var" in k else v / 2 for k, v in values.items()} | {
        k: v for k, v in values.items() if "num_batches" in k
    }


def write(path, state):
    torch.save({"netG_state_dict": state}, path)
    return path


def by_hand(state, z):
    """The generator written out from the formula."""
    h = z[:, :, None, None]
    for i in range(5):
        h = F.conv_transpose2d(
            h, state[f"main.{3 * i}.weight"], stride=1 if i == 0 else 2, padding=0 if i == 0 else 1
        )
        if i < 4:
            w, b, mean, var = (
                state[f"main.{3 * i + 1}.{name}"][:, None, None]
                for name in ("weight", "bias", "running_mean", "running_var")
            )
            h = torch.relu((h - mean) / torch.sqrt(var + 1e-5) * w + b)
    return torch.tanh(h)


def test_a_file_is_read_and_generates_by_its_formula(tmp_path, state):
    network = read_faces(write(tmp_path / "w.tar", state)).double()
    z = noise.rows(1, 3).normal((5,), noise.PROBE, torch.float64)
    torch.testing.assert_close(
        network(z), by_hand({k: v.double() for k, v in state.items()}, z), rtol=0, atol=1e-12
    )


def test_the_real_generator_makes_images_by_its_formula(real):
    z = noise.rows(2, 4).normal(tuple(CARD["latent_shape"]), noise.PROBE)
    before, random_state = z.clone(), torch.get_rng_state()
    network = read_faces(real)
    x = network(z)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(z, before)
    assert tuple(x.shape[1:]) == tuple(CARD["shape"])
    assert sum(p.numel() for p in network.parameters()) == CARD["parameters"]
    torch.testing.assert_close(
        x,
        by_hand(torch.load(real, map_location="cpu", weights_only=True)["netG_state_dict"], z),
        rtol=0,
        atol=1e-5,
    )
    torch.testing.assert_close(network(z[1:2]), x[1:2], rtol=0, atol=1e-5)
    assert x.std(0).mean() > 0.1  # other z, other faces
    assert not any(m.training for m in network.modules())
    assert not any(p.requires_grad for p in network.parameters())


def test_the_gradient_reaches_z(tmp_path, state):
    network = read_faces(write(tmp_path / "w.tar", state)).double()
    z = noise.rows(3, 1).normal((5,), noise.PROBE, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: network(z)[..., ::17, ::17], z)


def drop(state, key):
    return {k: v for k, v in state.items() if k != key}


def test_another_network_is_refused_by_name(tmp_path, state):
    for change, message in [
        (lambda s: drop(s, "main.6.weight"), r"missing main\.6\.weight"),
        (lambda s: drop(s, "main.4.running_var"), r"missing main\.4\.running_var"),
        (lambda s: {**s, "extra": torch.zeros(1)}, "unexpected extra"),
        (
            lambda s: {**s, "main.1.bias": torch.zeros(9)},
            r"main\.1\.bias has shape \(9,\), expected \(8,\)",
        ),
        (
            lambda s: {**s, "main.3.weight": torch.zeros(8, 6, 3, 3)},
            r"main\.3\.weight has shape \(8, 6, 3, 3\), expected \(8, 6, 4, 4\)",
        ),
        (lambda s: {**s, "main.0.weight": torch.zeros(5)}, r"missing main\.0\.weight"),
        (lambda s: {**s, "main.1.bias": 3}, "no tensors under netG_state_dict"),
    ]:
        with pytest.raises(WeightsError, match=message):
            read_faces(write(tmp_path / "w.tar", change(state)))


class Harmful:
    """Anything that a pickle could run."""

    def __reduce__(self):
        return print, ("ran",)


def test_a_file_that_is_no_weight_file_is_refused_and_never_run(tmp_path, state, capsys):
    (tmp_path / "bytes.tar").write_bytes(b"not weights")
    torch.save({"other": state}, tmp_path / "key.tar")
    torch.save({"netG_state_dict": Harmful()}, tmp_path / "code.tar")
    write(tmp_path / "cut.tar", state)
    (tmp_path / "cut.tar").write_bytes((tmp_path / "cut.tar").read_bytes()[:-500])
    for name in ("bytes.tar", "code.tar", "cut.tar", "absent.tar"):
        with pytest.raises(WeightsError, match=f"cannot read .*{name}"):
            read_faces(tmp_path / name)
    with pytest.raises(WeightsError, match="no tensors under netG_state_dict"):
        read_faces(tmp_path / "key.tar")
    assert "ran" not in capsys.readouterr().out
