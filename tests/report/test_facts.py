"""Facts of a stored run: an edited specification is one line."""

import pytest
from spec_edits import edit, say_model

from noisewalk.errors import NoisewalkError
from noisewalk.report import build_report


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("problem",), [1]),
        (("problem", "title"), 5),
        (("problem", "range"), "wide"),
        (("problem", "range"), [0.0]),
        (("problem", "range"), [0.0, 0.0]),
        (("problem", "range"), [0.0, None]),
        (("problem", "operator"), ["identity"]),
        (("problem", "operator"), "identity:much"),
        (("problem", "likelihood"), 3),
        (("problem", "sigma_y"), "loud"),
        (("problem", "sigma_y"), -1.0),
        (("plan", "kernel"), 7),
        (("likelihood",), None),
        (("likelihood", "name"), {}),
    ],
    ids=str,
)
def test_an_edited_specification_ends_in_one_line_and_leaves_the_old_report(
    target, sampled, path: tuple[str, ...], value: object
) -> None:
    folder = sampled(target)
    say_model(folder)
    page = build_report(folder)
    before = {p.name: p.read_bytes() for p in page.parent.iterdir() if p.is_file()}
    edit(folder, *path, value=value)
    with pytest.raises(NoisewalkError) as error:
        build_report(folder)
    assert "\n" not in str(error.value)
    after = {p.name: p.read_bytes() for p in page.parent.iterdir() if p.is_file()}
    assert {**after, "spec.json": before["spec.json"]} == before
