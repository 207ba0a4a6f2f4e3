"""Problems in blocks: the calibration of all at once, by every engine, whatever is lost."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import noisewalk as nw
from noisewalk.engines import work
from noisewalk.errors import NoisewalkError
from noisewalk.evaluate.calibrate import blocks
from noisewalk.evaluate.calibrate.around import prepare
from noisewalk.evaluate.calibrate.blocks import calibration_by, folder_of, spans

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "engines"))
from exact_runs import linear
from units import Deadly


def problems(operator=None):
    """Twenty-two of a linear target, in six blocks of four and one of two."""
    run, target = linear(1, 4, 8)
    if operator is not None:
        parts = target.phi, operator, target.likelihood, target.y
        target = nw.NoisePosterior(*parts, check=False)
    return prepare(run, target, 22, 8, 0)


def same(one, other):
    return all(
        torch.equal(a, b)
        for a, b in (
            (one.ranks, other.ranks),
            (one.p_values, other.p_values),
            (one.coverage.empirical, other.coverage.empirical),
        )
    )


def test_blocks_do_not_depend_on_the_engine():
    assert spans(problems()) == [*((k, 4) for k in range(0, 20, 4)), (20, 2)]
    few = replace(problems(), joint=replace_rows(problems().joint, 10))
    assert spans(few)[:2] == [(0, 1), (1, 1)]


def replace_rows(joint, rows):
    parts = joint.phi, joint.operator, joint.likelihood, joint.y
    return nw.NoisePosterior(*parts, microbatch=rows)


def test_every_engine_gives_the_same_calibration_though_a_worker_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "PAUSE", 0.01)
    here = calibration_by(nw.engines.Serial(), problems(), tmp_path / "here", False)
    marker = tmp_path / "killed"
    mortal = problems(Deadly(str(marker), 200))
    found = calibration_by(nw.engines.Processes(2), mortal, tmp_path / "two", False)
    assert marker.exists()
    assert same(found, here)
    assert found.acceptance_rate == here.acceptance_rate
    assert not (tmp_path / "two").exists()
    together = problems().calibration(False)  # in one batch, which rounds otherwise
    assert torch.equal(together.ranks, here.ranks)
    assert together.nfe == here.nfe
    assert here.num_truths == together.num_truths


def test_finished_blocks_are_not_computed_again_and_failed_ones_are_named(tmp_path, monkeypatch):
    whole = calibration_by(nw.engines.Serial(), problems(), tmp_path / "whole", False)
    folder, spoilt, calls = folder_of(problems(), tmp_path), [(8, 4)], []

    def some(shared, span):
        calls.append(span)
        if span in spoilt:
            raise NoisewalkError("no luck")
        return block(shared, span)

    block = blocks._block
    monkeypatch.setattr(blocks, "_block", some)
    with pytest.raises(NoisewalkError, match=r"1 of 6 blocks of problems failed \(no luck"):
        calibration_by(nw.engines.Serial(), problems(), folder, False)
    assert len(calls) == 6
    spoilt.clear()
    again = calibration_by(nw.engines.Serial(), problems(), folder, False)
    assert calls[6:] == [(8, 4)]
    assert same(again, whole)
