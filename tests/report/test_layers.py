"""What the page's script draws from."""

import numpy as np
from page_reader import facts_of, values_of

from noisewalk.report import render
from noisewalk.report.layers import LEAST_DRAWS, MOST_DRAWS, pack, payload, samples_of


def test_layers_are_the_arrays_to_half_a_level(make):
    data = make(value_range=(100.0, 300.0, "mJy"), r_hat=np.full((1, 8, 8), 1.25))
    facts = facts_of(render(data))
    layers, mean = facts["layers"], values_of(facts["layers"]["mean"])
    for name, wanted in (
        ("mean", 200 + 100 * data.mean),
        ("std", 100 * data.std),
        ("measurement", 200 + 100 * data.measurement),
        ("rhat", np.full((1, 8, 8), 1.25)),
        ("truth", 200 + 100 * data.truth - mean),
    ):
        found, step = values_of(layers[name]), layers[name]["step"]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=0.501 * step)
    draws = [mean + values_of(layer) for layer in facts["draws"]]
    step = facts["draws"][0]["step"]
    np.testing.assert_allclose(draws, 200 + 100 * samples_of(data), rtol=0, atol=0.501 * step)


def test_quantiles_are_those_of_all_draws_where_they_are_given(make):
    data = make(quantiles=np.stack([np.full((1, 8, 8), q) for q in (-0.5, 0.0, 0.5)]))
    layers = facts_of(render(data))["layers"]
    mean = values_of(layers["mean"])
    for name, wanted in (("q05", -0.5), ("q50", 0.0), ("q95", 0.5)):
        atol = 0.501 * layers[name]["step"]
        np.testing.assert_allclose(mean + values_of(layers[name]), wanted, rtol=0, atol=atol)


def test_what_is_not_observed_has_no_value(make):
    observed = np.zeros((1, 8, 8), bool)
    observed[0, :, :3] = True
    found = values_of(facts_of(render(make(observed=observed)))["layers"]["measurement"])
    np.testing.assert_array_equal(np.isnan(found), ~observed)


def test_a_flat_layer_survives():
    np.testing.assert_array_equal(values_of(pack(np.full((1, 3, 4), 7.0))), 7.0)
    assert np.isnan(values_of(pack(np.full((1, 3, 4), np.nan)))).all()


def test_draws_are_chosen_evenly_from_all_chains_and_as_many_as_there_is_room(make):
    data = make(chains=60, draws=4, shown=4)
    chosen = samples_of(data)
    assert len(chosen) == MOST_DRAWS
    np.testing.assert_array_equal(chosen[0], data.samples[0, 0])
    np.testing.assert_array_equal(chosen[-1], data.samples[-1, -1])
    assert payload(data, 0).count('"data"') == payload(data).count('"data"') - (
        MOST_DRAWS - LEAST_DRAWS
    )


def test_every_draw_that_is_shown_is_one_of_a_short_run(make):
    data = make(chains=3, draws=2, shown=2)
    np.testing.assert_array_equal(samples_of(data)[:3], data.samples[:, 0])
