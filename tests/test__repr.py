import importlib
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from noisewalk._repr import describe, facts_of, name_of, readable, shown_fields
from noisewalk.operators import Identity


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Thing:
    matrix: torch.Tensor
    name: str = "a"
    hidden: int = field(default=3, repr=False)


def triple(x):
    return 3 * x


def test_a_tensor_is_its_shape_and_a_hash_of_its_content():
    value = torch.arange(6.0).reshape(2, 3)
    text = describe(value)
    assert text.startswith("Tensor[2, 3]#")
    assert len(text.split("#")[1]) == 8
    assert describe(value.clone()) == text
    assert describe(value.T.contiguous().T) == text  # same values, another memory layout
    assert describe(value.requires_grad_()) == text


def test_the_hash_tells_values_shapes_and_types_apart():
    value = torch.zeros(4)
    changed = value.clone()
    changed[3] = 1e-30
    others = [changed, value.reshape(2, 2), value.double(), value.int(), -value, torch.zeros(5)]
    texts = [describe(other).split("#")[1] for other in (value, *others)]
    assert len(set(texts)) == len(texts)


def test_a_module_is_its_name_and_a_hash_of_its_weights():
    linear = torch.nn.Linear(2, 2)
    text = describe(linear)
    assert text.startswith("Linear#")
    with torch.no_grad():
        linear.bias += 1
    assert describe(linear) != text


def test_a_readable_dataclass_prints_as_the_call_that_makes_it():
    thing = Thing(torch.ones(2), "b")
    assert repr(thing) == f"Thing(matrix={describe(torch.ones(2))}, name='b')"
    assert repr(Thing(torch.zeros(2), "b")) != repr(thing)


def test_lists_and_nested_objects_are_described_piece_by_piece():
    thing = Thing(torch.ones(2))
    assert describe([thing, (1, 2.5)]) == f"[{thing!r}, [1, 2.5]]"


def test_a_function_is_its_full_name_without_an_address():
    assert describe(triple).startswith(f"{__name__}.triple#")
    assert describe(torch.fft.fft) == describe(torch.fft.fft)
    assert "0x" not in describe(triple) + describe(Thing.__init__)


def test_plain_values_print_as_themselves():
    assert [describe(value) for value in (0.1, None, "a", 3, True)] == [
        "0.1",
        "None",
        "'a'",
        "3",
        "True",
    ]


def test_the_decorator_returns_the_class_itself():
    assert readable(Thing) is Thing
    assert Thing(torch.ones(1)).hidden == 3  # a field that is not shown still is a field


def scaled(k):
    return lambda x: k * x


def test_what_closes_over_other_values_is_told_apart():
    assert describe(scaled(1)) != describe(scaled(100))
    assert describe(scaled(1)) == describe(scaled(1))
    assert describe(scaled(torch.ones(2))) != describe(scaled(torch.zeros(2)))


FACTOR = 2.0


def times_factor(x):
    return FACTOR * x


def outer(name):
    return {
        "sin": lambda x: (lambda y: torch.sin(y))(x),
        "cos": lambda x: (lambda y: torch.cos(y))(x),
    }[name]


class Instrument:
    def __init__(self, gain):
        self.gain = gain

    def measure(self, x):
        return self.gain * x


def test_what_a_function_reads_and_calls_is_part_of_it(monkeypatch):
    before = describe(times_factor)
    monkeypatch.setattr(f"{__name__}.FACTOR", 3.0)
    assert describe(times_factor) != before
    assert describe(outer("sin")) != describe(outer("cos"))
    assert describe(Instrument(1.0).measure) != describe(Instrument(2.0).measure)
    assert describe(Instrument(1.0).measure) == describe(Instrument(1.0).measure)


def test_a_large_array_is_told_from_another():
    a = np.zeros(5000)
    b = a.copy()
    b[2500] = 1.0
    assert describe(a) != describe(b)
    assert describe(scaled(a)) != describe(scaled(b))
    assert describe(np.float64(0.5)) == repr(np.float64(0.5))


def test_modules_without_weights_are_told_apart_by_their_settings():
    assert describe(torch.nn.AvgPool2d(2)) != describe(torch.nn.AvgPool2d(4))


def test_bfloat16_and_conjugated_tensors_have_a_text():
    assert describe(torch.zeros(2, dtype=torch.bfloat16)) != describe(
        torch.ones(2, dtype=torch.bfloat16)
    )
    z = torch.tensor([1 + 2j])
    assert describe(z.conj()) == describe(torch.tensor([1 - 2j]))


def cases():
    """The laws' one instance of every public map, operator, likelihood and kernel."""
    return importlib.import_module("cases")


def test_every_public_object_has_facts_that_json_keeps(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "laws"))
    listed = cases()
    for case in (*listed.MAPS, *listed.OPERATORS, *listed.LIKELIHOODS, *listed.KERNELS):
        value = case.build(torch.float64)
        facts = facts_of(value)
        assert json.loads(json.dumps(facts, allow_nan=False)) == facts
        assert facts["name"] == type(value).__qualname__
        assert facts == facts_of(case.build(torch.float64))
        assert " at 0x" not in json.dumps(facts)
        assert set(facts) == {"name", *(f.name for f in shown_fields(value))}


@dataclass
class Tuned:
    """A dataclass of dataclasses, with a field that is called as its class's name is."""

    name: str
    parts: tuple
    level: float = math.inf
    count: int = 3
    secret: str = field(default="x", repr=False)


def test_the_facts_of_a_users_object_name_its_module_and_hold_its_fields():
    matrix = torch.ones(2)
    assert facts_of(Tuned("a", (Thing(matrix), None, 0.5, True))) == {
        "name": f"{__name__}.Tuned",
        "parts": [{"name": f"{__name__}.Thing", "matrix": describe(matrix)}, None, 0.5, True],
        "level": "inf",
        "count": 3,
    }
    assert name_of(Tuned) == f"{__name__}.Tuned"
    assert name_of(Identity) == "Identity"


def test_the_facts_of_anything_else_are_its_description():
    assert facts_of({"a": triple, 2: float("nan")}) == {"a": describe(triple), "2": "nan"}
    assert facts_of(torch.zeros(3)) == describe(torch.zeros(3))
    assert facts_of(Thing) == describe(Thing) == f"{__name__}.Thing"
    assert facts_of([1, "b", 2.5, None]) == [1, "b", 2.5, None]


class Looped:
    def __init__(self):
        self.forward, self.own = self._half, self

    def _half(self, x):
        return x / 2


class Sparse(torch.nn.Module):
    def __init__(self, value=1.0):
        super().__init__()
        self.register_buffer("matrix", (value * torch.eye(3)).to_sparse())
        self.register_buffer("rows", (value * torch.eye(3)).to_sparse_csr())

    def get_extra_state(self):
        return {"version": 2}

    def set_extra_state(self, state):
        pass


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_sparse_tensors_extra_states_and_what_holds_itself_have_a_text():
    texts = [describe(v) for v in (Sparse(), Sparse(2.0))]
    assert len(set(texts)) == 2
    assert describe(Sparse()) == texts[0]
    huge = torch.sparse_coo_tensor(
        [[0, 5], [7, 10**6]], [1.0, 2.0], (10**7, 10**7), check_invariants=True
    )
    assert describe(huge).startswith("Tensor[10000000, 10000000]#")
    assert describe(huge) != describe(2 * huge)
    assert describe(Looped()) == describe(Looped())

    def again(n):
        return again(n - 1) if n else 0

    assert describe(again).startswith(f"{__name__}.")


SCRIPT = """
from functools import partial
from noisewalk._repr import describe
def scaled(x, factor):
    return factor * x
def chosen(x, mode="a"):
    return x if mode in {"a", "bb", "ccc"} else -x
class Held:
    def __init__(self):
        self.table, self.names = {"f": scaled}, {"a", "bb", "ccc"}
print(describe(partial(scaled, factor=0.5)), describe(chosen), describe(Held()))
"""


def test_a_text_is_the_same_in_every_process():
    found = set()
    for seed in "12":
        env = {**os.environ, "PYTHONHASHSEED": seed}
        out = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True)
        assert out.returncode == 0, out.stderr
        found.add(out.stdout)
    assert len(found) == 1
    assert b" at 0x" not in found.pop()


def test_a_partial_is_told_apart_by_what_it_is_given():
    texts = {describe(partial(triple, *args)) for args in ((), (1,), (2,))}
    assert len(texts) == 3
