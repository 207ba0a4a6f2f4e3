"""Law: whatever a text or a file holds, the answer is an object or one of noisewalk's own errors,
in one line: never a traceback, which would be exit status 1."""

import io
import json
import os
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout, suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import noisewalk as nw
from noisewalk.cli import run_problem
from noisewalk.cli.main import main
from noisewalk.errors import NoisewalkError
from noisewalk.priors.cards import read_card
from noisewalk.priors.diffusers import read_unet
from noisewalk.storage.doctor import examine
from noisewalk.storage.spec import parse
from noisewalk.storage.state import decode

MANY = int(os.environ.get("NOISEWALK_FUZZ", "30"))
"""Examples of each law; `NOISEWALK_FUZZ=5000` for a long search."""
SHORT = settings(
    max_examples=MANY,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def words(text):
    """The words of a text."""
    return text.split()


KEYS = st.sampled_from(
    words(
        "noisewalk format plan kernel name problem range shape in_channels "
        "sample_size label block_out_channels _class_name sha256 sigma_min "
        "sigma_max microbatch probe"
    )
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner),
    max_leaves=12,
)
RAW = st.binary(max_size=60) | TREES.map(lambda tree: json.dumps(tree).encode())
NUMBERS = st.sampled_from(words("0 1 -1 2 4 1e308 1e-308 nan inf 10000000000000000000000 true x"))
PAIRS = st.tuples(
    st.sampled_from(words("factor kernel_size std keep seed top df scale peak gain share width")),
    NUMBERS | st.text(max_size=3),
).map("=".join)


def texts(names):
    """Names with settings, joined as the parsers read them, and any text."""
    one = st.tuples(st.sampled_from(names), st.lists(PAIRS, max_size=3)).map(
        lambda pair: pair[0] + ":" * bool(pair[1]) + ",".join(pair[1])
    )
    return st.lists(one, min_size=1, max_size=2).map("+".join) | st.text(max_size=30)


def tried(call, *arguments):
    """The call gives something, or an error of noisewalk's own."""
    with suppress(NoisewalkError):
        call(*arguments)


@SHORT
@given(texts(words("avgpool blur inpaint box hdr phase motion identity clouds mask conv")))
def test_operators_of_any_text(text):
    tried(nw.operators.parse, text, (1, 8, 8))


@SHORT
@given(texts(["gaussian", "poisson", "laplace", "studentt", "unknown"]), NUMBERS)
def test_likelihoods_of_any_text(text, level):
    from noisewalk.likelihoods import parse as parse_likelihood

    try:
        number = float(level)
    except ValueError:
        number = None
    tried(parse_likelihood, text, number)


@SHORT
@given(RAW)
def test_specifications_of_any_bytes(tmp_path, raw):
    tried(parse, raw, tmp_path / "spec.json")


@SHORT
@given(RAW)
def test_cards_and_network_configurations_of_any_bytes(tmp_path, raw):
    (tmp_path / "card.json").write_bytes(raw)
    (tmp_path / "config.json").write_bytes(raw)
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(raw)
    tried(read_card, tmp_path)
    tried(read_unet, tmp_path)


@SHORT
@given(RAW, st.integers(0, 2**64 - 1))
def test_states_of_any_bytes(tmp_path, raw, size):
    path = tmp_path / "state-1.safetensors"
    for content in (raw, size.to_bytes(8, "little") + raw):
        path.write_bytes(content)
        tried(decode, path)


@SHORT
@given(RAW)
def test_roots_of_any_bytes(tmp_path, raw):
    (tmp_path / "run.zarr").mkdir(exist_ok=True)
    (tmp_path / "spec.json").write_text('{"noisewalk": "0.1.0", "format": 3}')
    (tmp_path / "run.zarr" / "zarr.json").write_bytes(raw)
    tried(nw.open_run, tmp_path)
    assert examine(tmp_path).faults


def test_nothing_in_a_file_is_executed(tmp_path):
    bomb = b"cos\nsystem\n(S'touch " + str(tmp_path / "boom").encode() + b"'\ntR."
    for name in ("card.json", "config.json", "diffusion_pytorch_model.safetensors", "w.pt"):
        (tmp_path / name).write_bytes(bomb)
    for call in (read_card, read_unet):
        with pytest.raises(NoisewalkError):
            call(tmp_path)
    with pytest.raises(NoisewalkError):
        nw.load_prior(str(tmp_path / "w.pt"), size=8)
    assert not (tmp_path / "boom").exists()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A small file of each format, by its name."""
    from astropy.io import fits
    from PIL import Image

    folder = tmp_path_factory.mktemp("measured")
    values = np.arange(64, dtype=np.uint8).reshape(8, 8)
    np.save(folder / "a.npy", values)
    np.savez_compressed(folder / "a.npz", values)
    fits.PrimaryHDU(values).writeto(folder / "a.fits")
    for name in ("a.png", "a.tif", "a.jpg", "a.webp"):
        Image.fromarray(values).save(folder / name)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


EDITS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6)


@SHORT
@given(st.integers(0, 6), EDITS, st.none() | st.floats(0.0, 1.0))
def test_measurements_of_any_bytes(tmp_path, measured, kind, edits, cut):
    name = list(measured)[kind]
    raw = bytearray(measured[name])
    for place, value in edits:
        raw[place % len(raw)] = value
    (tmp_path / name).write_bytes(raw if cut is None else raw[: int(cut * len(raw))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of readers, on values that they mend
        tried(nw.files.open, tmp_path / name)


OPTIONS = words(
    "--sigma-y --bands --chains --num-draws --thin --num-warmup --microbatch --seed --missing "
    "--step-size --kernel --plan --start --likelihood --operator --window --margin --lr --rank "
    "--warm-start --num-particles --num-moves --band-range --num-leapfrog --fit --bits"
)


@SHORT
@given(st.dictionaries(st.sampled_from(OPTIONS), NUMBERS | st.text(max_size=6), max_size=4))
def test_options_of_any_value(tmp_path, given_):
    """They end in 0 or 2, never in a traceback; what is right is not sampled here."""
    (tmp_path / "own.py").write_text(
        "import noisewalk as nw\ndef make():\n    return nw.maps.Warp((1, 8, 8), 0.5)\n"
    )
    np.save(tmp_path / "y.npy", np.zeros((8, 8), np.float32))
    usual = {"--prior": "own.py:make", "--operator": "identity", "--sigma-y": "0.1"}
    pairs = ({**usual, "--out": "run"} | given_).items()
    said, code = io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said), redirect_stdout(said):
        patch.chdir(tmp_path)
        patch.setattr(sys, "argv", ["noisewalk", "sample", "y.npy", *(w for p in pairs for w in p)])
        patch.setattr(run_problem, "solve", lambda *_, **__: None)
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code or 0
    assert code in (0, 2), said.getvalue()
