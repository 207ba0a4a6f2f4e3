"""The verdict in plain words."""

import numpy as np
import pytest

import noisewalk as nw
from noisewalk.report.sentences import CAUSES, next_step, of_several, plain_code, sentence

GOOD = {"verdict": "trust", "verdict_cause": "settled", "verdict_reason": "They agree."}


def bad(cause: str, reason: str, verdict: str = "do not trust") -> dict[str, str]:
    return {"verdict": verdict, "verdict_cause": cause, "verdict_reason": reason}


def test_the_first_words_answer_whether_the_map_may_be_used():
    assert sentence(GOOD).startswith("You may use the uncertainty map")
    for cause in CAUSES:
        assert sentence(bad(cause, "")).startswith("Do not use the uncertainty map: ")
        assert sentence(bad(cause, "", "check")).startswith("Do not rely on the uncertainty map")
    assert sentence({}) == ""


def test_the_share_of_pixels_in_which_chains_disagree_is_said():
    r_hat = np.array([[[1.0, 1.5, np.nan, 1.1]]])
    told = sentence(bad("mixing", ""), r_hat)
    assert told.endswith("the chains disagree about the image, in 25\u00a0% of the pixels.")
    assert "pixels" not in sentence(bad("mixing", ""), np.ones((1, 2, 2)))


@pytest.mark.parametrize(
    ("summary", "todo"),
    [
        (
            bad("short", "3 chains cannot show it. --chains 16 (num_chains=16) would be enough."),
            "What to do next: run it again with --chains 16 (num_chains=16).",
        ),
        (
            bad("moving", "It moves (p = 0.1). Run longer ones."),
            "What to do next: run longer ones.",
        ),
        (bad("misfit", "Chi2 is 3. Either or."), "What to do next: check the noise level"),
    ],
)
def test_what_to_do_comes_from_the_reason(summary, todo):
    assert next_step(summary).startswith(todo)


def test_every_cause_of_a_verdict_has_words():
    draws = torch_draws()
    cause = nw.Run({"x": draws}, nfe=0, seconds=0.0).summary()["verdict_cause"]
    assert cause in CAUSES


def torch_draws():
    import torch

    return torch.randn(1, 2, 24, 1, 2, 2, generator=torch.Generator().manual_seed(0))


def test_several_images_are_counted():
    doubt = bad("stuck", "")
    assert of_several([GOOD, GOOD]) == "You may use the uncertainty maps of both images."
    assert "1 of these 3" in of_several([GOOD, doubt, doubt])
    assert of_several([doubt, doubt]).startswith("Do not use")
    assert of_several([{}, {}]) == "2 images"


def test_options_and_commands_are_code_and_all_else_is_text():
    assert plain_code("give --thin 4 <b>") == "give <code>--thin</code> 4 &lt;b&gt;"
    assert plain_code("`a --b <` c") == "<code>a --b &lt;</code> c"
