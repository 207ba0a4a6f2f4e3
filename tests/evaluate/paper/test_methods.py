"""The rows of the paper's tables."""

from noisewalk.evaluate.paper.methods import GUIDED, METHODS, OURS


def test_the_methods_are_the_papers_and_the_exact_kernel() -> None:
    ours = {"ours1-em", "ours1-ei", "ours1-exact", "ours2-em", "ours2-ei", "ours2-exact"}
    assert set(METHODS) == {*GUIDED, "cmedit", *ours, "diverse"}
    assert set(OURS) <= ours
    assert all(name == method.name for name, method in METHODS.items())
    labels = [method.label for method in METHODS.values()]
    assert len(set(labels)) == len(labels)


def test_a_name_says_the_family_the_network_and_the_scheme() -> None:
    for name in GUIDED:
        assert (METHODS[name].family, METHODS[name].backbone) == tuple(name.split("-"))
    assert (METHODS["ours2-ei"].family, METHODS["ours2-ei"].scheme) == ("walk", "ei")
    assert (METHODS["ours2-ei"].num_steps, METHODS["ours2-ei"].preset) == (2, "ours2")
    assert METHODS["ours2-ei"].label == "Ours-EI (2-step)"
    assert (METHODS["ours1-exact"].family, METHODS["ours1-exact"].num_steps) == ("exact", 1)
    assert METHODS["diverse"].preset == "diverse"
