"""What both trainings do: the options are checked, and the prior is pushed."""

import numpy as np
from trainings import diffusion, noisewalk


def test_a_private_repository_wants_a_name(data, tmp_path, capsys):
    assert (
        noisewalk("train", "diffusion", "--data", data, "--out", tmp_path / "prior", "--private")
        == 2
    )
    assert "--private belongs to --push-to-hub" in capsys.readouterr().err


def test_held_out_images_among_the_training_images_are_refused(data, tmp_path, capsys):
    with np.load(data) as archive:
        np.savez(tmp_path / "held.npz", images=archive["images"][[4]])
    assert diffusion(data, tmp_path / "prior", held_out=tmp_path / "held.npz") == 2
    assert "held.npz[0] is squares.npz[4]" in capsys.readouterr().err
    assert not (tmp_path / "prior").exists()


def test_a_push_without_a_login_is_refused_before_the_training(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert diffusion(data, tmp_path / "p", push_to_hub="me/mine") == 2
    assert "hf auth login" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
