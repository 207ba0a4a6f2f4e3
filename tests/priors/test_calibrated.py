"""Which problems a card lists as calibrated."""

import json
import shutil

import pytest
import torch

import noisewalk as nw
from noisewalk._repr import describe, facts_of
from noisewalk.priors import calibrated
from noisewalk.priors.calibrated import is_calibrated, listed, name_of, num_observed
from noisewalk.priors.load import BUNDLED
from noisewalk.storage.spec import normal

SHAPE = (3, 64, 64)
CARD = {
    "shape": [3, 64, 64],
    "calibrated": [
        {"operator": "avgpool", "factor": [2, 8], "sigma_y": [0.05, 0.2]},
        {"operator": "box", "top": 0, "left": [16, 32], "sigma_y": [0.1, 0.1]},
        {"operator": "inpaint", "keep": [0.2, 0.5], "sigma_y": [0.1, 0.2]},
    ],
}


@pytest.mark.parametrize(
    ("operator", "sigma_y", "there"),
    [
        ("avgpool:factor=4", 0.1, True),
        ("avgpool:factor=8", 0.2, True),
        ("avgpool:factor=16", 0.1, False),
        ("avgpool:factor=4", 0.3, False),
        ("avgpool:factor=4", 0.04, False),
        ("box:top=0,left=32,height=64,width=32", 0.1, True),
        ("box:top=1,left=32,height=64,width=32", 0.1, False),
        ("inpaint:keep=0.2,seed=7", 0.1, True),  # its seed is free
        ("blur:std=2", 0.1, False),
        ("identity", 0.1, False),
        ("avgpool:factor=4+inpaint:keep=0.2,seed=0", 0.1, False),
        ("inpaint:keep=0.2,seed=0+avgpool:factor=4", 0.1, False),
        ("conv:kernel.npy", 0.1, False),
        ("anything", 0.1, False),
        ("avgpool:factor=many", 0.1, False),
    ],
)
def test_an_operator_is_listed_with_its_settings_and_its_noise(operator, sigma_y, there):
    assert listed(CARD, operator, sigma_y, SHAPE) is there


def test_images_of_another_size_are_another_problem():
    assert not listed(CARD, "avgpool:factor=4", 0.1, (3, 64, 128))
    assert not listed({"calibrated": CARD["calibrated"]}, "avgpool:factor=4", 0.1, SHAPE)


def test_a_default_counts_like_a_setting_that_is_given():
    entry = {"operator": "blur", "kernel_size": [61, 61], "std": [1, 3], "sigma_y": [0.1, 0.1]}
    assert listed({**CARD, "calibrated": [entry]}, "blur:std=2", 0.1, SHAPE)
    assert not listed({**CARD, "calibrated": [entry]}, "blur:std=2,kernel_size=31", 0.1, SHAPE)


@pytest.mark.parametrize(
    "entries",
    [
        None,
        [],
        "avgpool",
        {"operator": "avgpool"},
        ["avgpool"],
        [{}],
        [{"operator": "avgpool"}],
        [{"operator": "avgpool", "sigma_y": "any"}],
        [{"operator": "avgpool", "sigma_y": [0.05]}],
        [{"operator": "avgpool", "sigma_y": ["a", "b"]}],
        [{"operator": "avgpool", "sides": [2, 4], "sigma_y": [0.05, 0.2]}],
    ],
)
def test_what_an_entry_does_not_say_is_not_listed(entries):
    assert not listed({**CARD, "calibrated": entries}, "avgpool:factor=4", 0.1, SHAPE)
    assert not listed({}, "avgpool:factor=4", 0.1, SHAPE)


def test_the_card_is_that_of_the_prior_by_name_or_folder(tmp_path, monkeypatch):
    shutil.copytree(BUNDLED / "fashion32", tmp_path / "toy")
    path = tmp_path / "toy" / "card.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, **CARD}))
    assert is_calibrated(str(tmp_path / "toy"), "avgpool:factor=4", 0.1, SHAPE)
    assert not is_calibrated("toy", "avgpool:factor=4", 0.1, SHAPE)
    monkeypatch.setattr(calibrated, "BUNDLED", tmp_path)
    assert is_calibrated("toy", "avgpool:factor=4", 0.1, SHAPE)
    path.write_text("{")
    assert not is_calibrated("toy", "avgpool:factor=4", 0.1, SHAPE)
    assert not is_calibrated("faces64", "avgpool:factor=4", 0.1, SHAPE)


@pytest.mark.parametrize("name", ["fashion32", "satellite64"])
def test_a_bundled_prior_is_known_by_its_network_and_its_problems_by_their_facts(name):
    prior = nw.load_prior(name)
    network = describe(prior.map().denoiser.network)
    assert name_of(network) == name
    assert name_of("other") is None
    side = prior.shape[-1]
    right = f"box:top=0,left={side // 2},height={side},width={side // 2}"
    for text in ("avgpool:factor=4", right):
        operator = nw.operators.parse(text, prior.shape)
        facts = normal(facts_of(operator))
        assert is_calibrated(name, facts, 0.1, prior.shape)
        assert is_calibrated(name, text, 0.1, prior.shape)
        assert not is_calibrated(name, facts, 0.2, prior.shape)
        y = operator(torch.zeros(2, *prior.shape))
        whole = prior.shape[0] * side**2
        expected = whole // 16 if text.startswith("avgpool") else whole // 2
        assert num_observed(text, prior.shape, y) == num_observed(facts, prior.shape, y) == expected


@pytest.mark.parametrize("operator", ["inpaint:keep=0.5,seed=0", "clouds:share=0.5"])
def test_operators_that_need_the_shape_are_given_it(operator):
    y = torch.zeros(2, 1, 8, 8)
    assert 0 < num_observed(operator, (1, 8, 8), y) < 64
    assert num_observed("motion:length=3", (1, 8, 8), y) == 64
