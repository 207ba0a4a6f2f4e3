"""Law: the texts of a table hold the same numbers, under heads that say what was computed."""

import json
import re

from noisewalk.evaluate.paper.methods import METHODS
from noisewalk.evaluate.paper.table_text import heads_of, markdown, marks, write
from noisewalk.evaluate.paper.tables import TABLES


def test_the_best_are_marked_as_in_the_paper(made):
    found = made[3]
    rows = found["rows"]["sr"]
    cm = sorted(
        (n for n in rows if METHODS[n].backbone == "cm" and rows[n]["num_images"] == 4),
        key=lambda n: -rows[n]["psnr"][0],
    )
    dm = max((n for n in rows if METHODS[n].backbone == "dm"), key=lambda n: rows[n]["psnr"][0])
    assert marks(found, "sr", "psnr", 1) == {cm[0]: "best", cm[1]: "second", dm: "dm"}
    assert marks(found, "sr", "psnr", 0) == {}
    both = sorted(
        [*cm, *(n for n in rows if METHODS[n].backbone == "dm")], key=lambda n: -rows[n]["psnr"][0]
    )
    assert marks({**found, "overall": True}, "sr", "psnr", 1) == {
        both[0]: "best",
        both[1]: "second",
    }  # as in table 3


def test_the_files_hold_the_same_table(made, tmp_path):
    _, _, layout, found = made
    text = write(found, layout, tmp_path)
    assert (tmp_path / "table.md").read_text() == text
    assert json.loads((tmp_path / "table.json").read_text()) == found
    tex = (tmp_path / "table.tex").read_text()
    body = re.findall(r"^.*\\\\$", tex, re.M)
    assert len(body) == 2 + len(layout.methods)  # two lines of heads
    assert {line.count(" & ") for line in body[1:]} == {2 * len(layout.columns)}
    assert "20\\% Inpainting" in tex
    assert "FID" not in re.sub("not FID", "", text + tex)
    widths = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert sorted(set(widths)) == sorted({2 * len(layout.columns) + 2, len(layout.beside) + 2})


def test_a_cosine_is_clips_similarity_in_clips_features_alone(make_bench):
    columns = {**TABLES["table3"].columns, **TABLES["table3"].beside}
    found = {
        "extractor": "efficientnet-lite0",
        "extractors": {},
        "num_images": 200,
        "lpips_net": None,
        "nominal_coverage": 0.9,
    }
    assert heads_of(found, columns)["similarity"] == "cosine similarity (efficientnet-lite0)"
    assert (
        heads_of({**found, "extractor": "clip-vit-b32"}, columns)["similarity"] == "CLIP similarity"
    )
    several = heads_of(
        {**found, "extractors": {"similarity": "clip-vit-b32", "diversity_score": "resnet50"}},
        columns,
    )
    assert [several[key] for key in ("similarity", "diversity_score", "vendi")] == [
        "CLIP similarity",
        "DS (resnet50)",
        "Vendi (efficientnet-lite0)",
    ]
    assert heads_of(found, columns)["pairwise_lpips"] == "pairwise LPIPS (not computed)"


def test_a_frechet_distance_is_fid_in_inceptions_features_alone(made):
    _, _, layout, found = made
    assert "FD (pixels, 4 images)" in markdown(found, layout)
    assert "KID x 1000 (pixels, 4 images)" in markdown(found, layout)
    assert "features of pixels, not FID" in markdown(found, layout)
    assert "| FID |" not in markdown(found, layout)
    text = markdown({**found, "extractor": "inception-v3"}, layout)
    assert ": FID (4 images) |" in text
    heads = heads_of({**found, "num_images": 200, "extractor": "inception-v3"}, layout.columns)
    assert heads["fd"] == "FID"
    assert "FID and KID: features of inception-v3; against" in text


def test_rows_of_fewer_images_are_marked_and_those_of_very_few_have_no_error(made):
    _, _, layout, found = made
    lines = [line for line in markdown(found, layout).splitlines() if line.startswith("| ")]
    few = [line for line in lines if "exact kernel" in line]
    assert few
    assert all(re.search(r", [1-3] images † \|", line) and "±" not in line for line in few)
    assert not any("†" in line for line in lines if "exact kernel" not in line)
    assert any("±" in line for line in lines)
