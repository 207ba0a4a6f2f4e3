"""The numbers under the pointer."""

import base64
import json
import re

import numpy as np

from noisewalk.report import render


def test_values_under_the_pointer_are_the_arrays_to_16_bits(make):
    data = make(value_range=(100.0, 300.0, "mJy"))
    layers = json.loads(re.findall(r'class="pixels">(.*?)</script>', render(data))[0])["layers"]
    for name, wanted in (
        ("mean", 200 + 100 * data.mean),
        ("truth", 200 + 100 * data.truth),
        ("std", 100 * data.std),
        ("measurement", 200 + 100 * data.measurement),
    ):
        layer = layers[name]
        levels = np.frombuffer(base64.b64decode(layer["data"]), "<u2").reshape(layer["shape"])
        np.testing.assert_allclose(
            layer["start"] + layer["step"] * levels, wanted, rtol=0, atol=0.51 * layer["step"]
        )
