"""Law: whatever a text or a file holds, the answer is an object or one of noisewalk's own errors,
in one line: never a traceback, which would be exit status 1."""

import json
import os
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import noisewalk as nw
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
