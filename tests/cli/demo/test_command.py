"""`noisewalk demo`, with chains of a few steps."""

from pathlib import Path

from noisewalk.cli.demo import demo
from noisewalk.kernels.langevin import Langevin
from noisewalk.sampling.chains import Chains


def test_the_command_restores_both_priors_into_one_folder(noisewalk, monkeypatch):
    def few(target, seed):
        return Chains(Langevin(1e-3, adjust=True), 2, 2, 0, 1, None, None, seed)

    monkeypatch.setattr(demo, "demo_plan", few)
    tasks = {"satellite64": ["--task", "deblurring", "--task", "box"], "fashion32": []}
    for prior, chosen in tasks.items():
        code, out, err = noisewalk("demo", "--prior", prior, *chosen, "--out", "d")
        assert code == 0, err
        *_, path, verdict = out.splitlines()
        assert path == "open d/report.html"
        assert "the uncertainty maps" in verdict  # and no picture, as this is no terminal
        assert demo.EXAMPLES[prior].source in Path("d/report.html").read_text(encoding="utf-8")
    assert sorted(path.name for path in Path("d").iterdir() if path.is_dir()) == [
        "fashion32-inpainting",
        "fashion32-super-resolution",
        "satellite64-box",
        "satellite64-deblurring",
    ]


def test_what_the_demo_does_not_have_is_one_line(refused):
    assert "satellite64, fashion32" in refused("demo", "--prior", "terrain128")
    assert "inpainting" in refused("demo", "--prior", "fashion32", "--task", "clouds")
