"""What a report reads from a run: facts, never printed text."""

import ast
import json
from pathlib import Path

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import NoisewalkError
from noisewalk.report import build_report
from noisewalk.report.checks import checks
from noisewalk.report.read import read_report_data


def say_model(folder: Path, likelihood: str = "gaussian", sigma_y: float | None = 0.1) -> None:
    """Put the texts of a run from the command line into spec.json."""
    told = {"operator": "avgpool:factor=1", "likelihood": likelihood, "sigma_y": sigma_y}
    edit(folder, "problem", value={k: v for k, v in told.items() if v is not None})


def edit(folder: Path, *path: str, value: object) -> None:
    """Put another value into spec.json; `...` takes it away."""
    spec = json.loads((folder / "spec.json").read_text())
    inner = spec
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    (folder / "spec.json").write_text(json.dumps(spec))


@pytest.mark.parametrize(
    ("likelihood", "band"),
    [
        (nw.likelihoods.Gaussian(0.1), "95"),
        (nw.likelihoods.Laplace(0.1), "not known here"),
        (nw.likelihoods.StudentT(3.0, 0.1), "not known here"),
    ],
    ids=["gaussian", "laplace", "studentt"],
)
def test_a_run_from_python_is_judged_by_its_own_likelihood(
    target, sampled, likelihood: nw.types.Likelihood, band: str
) -> None:
    first = nw.NoisePosterior(
        target.phi, lambda x: x.flatten(1)[:, :5], likelihood, torch.zeros(1, 5)
    )
    entry = read_report_data(sampled(first))[0][0]
    found = {check.key: check for check in checks(entry)}
    assert band in found["chi2"].text
    assert (found["chi2_p_value"].value is None) == (band != "95")
    assert entry.measurement_unit == ""  # an operator of one's own: y is on a scale of its own


def test_counts_and_kernels_without_a_step_are_known_from_facts(target, sampled) -> None:
    counts = nw.NoisePosterior(
        target.phi, torch.nn.Identity(), nw.likelihoods.Poisson(20.0), torch.full((1, 1, 6, 6), 9.0)
    )
    (entry,), _ = read_report_data(sampled(counts, nw.EllipticalSlice()))
    assert (entry.has_step, entry.chi2_is_exact, entry.measurement_unit) == (False, False, "counts")


def test_what_a_run_does_not_tell_is_not_said(target, sampled) -> None:
    folder = sampled(target, nw.Langevin(1e-2))
    edit(folder, "likelihood", value=...)
    edit(folder, "plan", "kernel", value={"name": "Langevin", "text": "Langevin(adjust=False)"})
    (entry,), _ = read_report_data(folder)
    assert (entry.has_step, entry.chi2_is_exact) == (None, False)
    assert not any("unadjusted" in note for note in entry.notes)
    assert "Langevin(adjust=False)" in build_report(folder).read_text(encoding="utf-8")


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


def test_the_texts_of_a_command_line_give_the_residual(target, sampled) -> None:
    folder = sampled(target)
    assert read_report_data(folder)[0][0].residual is None
    say_model(folder)
    (entry,), summary = read_report_data(folder)
    run = nw.open_run(folder)
    torch.testing.assert_close(
        torch.as_tensor(entry.residual), -run.draws[0].double().mean((0, 1)) / 0.1
    )
    assert summary["likelihood"] == "gaussian"
    assert 0 <= summary["chi2_p_value"] <= 1


def test_an_inferred_noise_level_is_told(target, sampled) -> None:
    unknown = nw.NoisePosterior(
        target.phi, torch.nn.Identity(), nw.likelihoods.UnknownGaussian(), target.y
    )
    folder = sampled(unknown)
    say_model(folder, "unknown", None)
    _, summary = read_report_data(folder)
    run = nw.open_run(folder)
    size = run.draws[...].double().square().mean().sqrt()  # y = 0: the residual is the draw
    assert summary["noise_level"] == pytest.approx(float(size), rel=0.1)
    assert not {"chi2_p_value", "log_kappa"} & summary.keys()


def test_the_condition_number_of_a_run_of_smc_is_told(target, tmp_path) -> None:
    folder = tmp_path / "run"
    kernel = nw.HMC(0.1, 4)
    run = nw.tempered_smc(target, 20, kernel=kernel, num_moves=1, store=folder, progress=False)
    assert "log_kappa" not in read_report_data(folder)[1]
    say_model(folder)
    (entry,), summary = read_report_data(folder)
    best = -target.likelihood.nll(target.y, target.y)
    assert summary["log_kappa"] == pytest.approx(float(best - run.log_evidence), rel=1e-9)
    assert any("conditioned" in remark for remark in entry.remarks)


def test_no_module_matches_on_printed_text() -> None:
    for path in sorted(Path(nw.report.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
                assert not ast.unparse(node.comparators[0]).startswith(("str(", "repr(")), path
            if isinstance(node, ast.Import | ast.ImportFrom):
                named = [getattr(node, "module", None), *(alias.name for alias in node.names)]
                assert "re" not in named, path
