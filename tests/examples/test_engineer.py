"""The engineer's script: a GeoTIFF of four bands in, three of them out in the same place, and a
batch of five."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import noisewalk as nw

pytest.importorskip("tifffile")
WORDS = "--kernel ei --step-size 1e-4 --start prior --chains 1 --num-draws 1 --thin 1"
SHORT = WORDS.split()


@pytest.mark.parametrize(
    ("height", "width"), [(64, 72), pytest.param(192, 320, marks=pytest.mark.slow)]
)
def test_a_scene_and_a_batch_are_restored_where_they_were(
    height: int,
    width: int,
    example: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script, words = example("engineer"), ["--shape", str(height), str(width), "--", *SHORT]
    words += ["--microbatch", "1"]
    monkeypatch.setattr(sys, "argv", ["engineer.py", "--out", str(tmp_path), *words])
    script.main()
    out = capsys.readouterr().out
    assert "the bands ('red', 'green', 'blue')" in out
    assert "5 of 5 files done" in out
    scene, mean = (nw.files.read_array(tmp_path / n) for n in ("scene.tif", "restored/mean.tif"))
    assert scene.values.shape == (4, height, width)
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed")
    with (
        rasterio.open(tmp_path / "scene.tif") as a,
        rasterio.open(tmp_path / "restored/mean.tif") as b,
    ):
        assert (a.transform, a.crs, a.shape) == (b.transform, b.crs, b.shape)
        assert b.descriptions == ("red", "green", "blue")
    run = nw.open_run(tmp_path / "restored")
    assert run.draws.shape[3:] == mean.values.shape == (3, height, width)
    clouds = nw.files.read_array(tmp_path / "clouds.tif").values[0] > 0
    clouds[:, : width // 16] = True
    assert run.num_observed.tolist() == [3 * int((~clouds).sum())]
    for k in range(5):
        tile = nw.files.read_array(tmp_path / f"tiles/tile{k}/mean.tif").georeference
        assert tile.tags[33922][3] == 600_000 + 640 * k
    assert (tmp_path / "tiles/index.html").read_text().count("<tr>") == 6
