"""The cards say what a loader needs, agree with each other and with the published numbers."""

import re

import pytest

from noisewalk.maps.ode import karras_sigmas
from noisewalk.priors.cards import read_cards

CARDS = read_cards()
COMMON = {
    "name",
    "format",
    "licence",
    "data",
    "kind",
    "shape",
    "label",
    "parameters",
    "made_with",
    "source",
    "citation",
}
DENOISER = {"sigma_min", "sigma_max", "sigma_data", "head_channels"}
MIDPOINT = {"midpoint", "midpoint_index", "midpoint_steps", "midpoint_source"}
HASH = re.compile(r"[0-9a-f]{64}")
BY_FORMAT = {
    form: {name for name, card in CARDS.items() if card["format"] == form}
    for form in ("package", "openai", "hub")
}


def test_a_card_has_what_a_loader_needs_and_nothing_unknown():
    for name in CARDS:
        card = CARDS[name]
        assert card["name"] == name
        needed = COMMON | (DENOISER if card["kind"] in ("consistency", "edm") else {"latent_shape"})
        needed |= (
            {"archive", "sha256", "size", "download_size"}
            if card["format"] == "package"
            else {"approximate_size", "use"}
        )
        assert needed <= set(card)
        assert set(card) - needed <= MIDPOINT | {"unit"}
        assert card["kind"] in ("consistency", "edm", "generator")
        assert all(isinstance(side, int) and side > 0 for side in card["shape"])
        assert len(card["shape"]) == 3
        label = card["label"]
        assert label is None or (
            set(label) == {"name", "lowest", "highest", "whole"}
            and label["lowest"] < label["highest"]
        )


def test_every_published_checkpoint_has_a_card():
    consistency = {
        f"{how}_{what}" for what in ("imagenet64", "bedroom256", "cat256") for how in ("cd", "ct")
    }
    distilled = {
        f"{name}_{loss}" if name.startswith("cd") else name
        for name in consistency
        for loss in ("l2", "lpips")
    }
    teachers = {f"edm_{what}_ema" for what in ("imagenet64", "bedroom256", "cat256")}
    assert BY_FORMAT["openai"] == {f"{name}.pt" for name in distilled | teachers}
    assert BY_FORMAT["hub"] == {f"openai/diffusers-{name}" for name in distilled}
    assert BY_FORMAT["package"] == {"terrain128", "faces64"}


def test_a_hub_repository_and_its_checkpoint_agree():
    for name in sorted(BY_FORMAT["hub"]):
        one, other = CARDS[name], CARDS[name.removeprefix("openai/diffusers-") + ".pt"]
        assert {k: v for k, v in one.items() if k not in ("name", "format")} == {
            k: v for k, v in other.items() if k not in ("name", "format")
        }


def test_kind_size_and_labels_follow_from_the_checkpoints_name():
    for name in BY_FORMAT["openai"]:
        card = CARDS[name]
        assert card["kind"] == ("edm" if name.startswith("edm_") else "consistency")
        side = int(re.search(r"(\d+)(_|\.)", name)[1])
        assert card["shape"] == [3, side, side]
        assert (card["label"] is not None) == ("imagenet" in name)


def test_a_midpoint_is_its_index_on_the_grid_and_edm_priors_have_none():
    indices = {
        name: (c["midpoint_index"], c["midpoint_steps"])
        for name, c in CARDS.items()
        if "midpoint" in c
    }
    for name, (index, steps) in indices.items():
        card = CARDS[name]
        assert set(card) >= MIDPOINT
        assert card["kind"] == "consistency"
        grid = karras_sigmas(steps, card["sigma_min"], card["sigma_max"])
        assert card["midpoint"] == pytest.approx(float(grid[index]), rel=2e-7)
    assert len(indices) == 14
    assert indices["cd_bedroom256_lpips.pt"] == (17, 40)
    assert indices["ct_imagenet64.pt"] == (106, 201)


def test_an_archive_is_pinned_and_only_package_priors_claim_a_hash():
    for name in sorted(BY_FORMAT["package"]):
        archive = CARDS[name]["archive"]
        assert set(archive) == {"package", "version", "sha256", "member", "member_sha256"}
        assert all(isinstance(value, str) for value in archive.values())
        assert HASH.fullmatch(archive["sha256"])
        assert HASH.fullmatch(archive["member_sha256"])
        assert CARDS[name]["sha256"] == archive["member_sha256"] != archive["sha256"]
        assert not [n for n in BY_FORMAT["openai"] | BY_FORMAT["hub"] if "sha256" in CARDS[n]]


def test_changing_what_was_read_changes_nothing():
    read_cards()["terrain128"]["shape"].append(3)
    assert read_cards() == CARDS
