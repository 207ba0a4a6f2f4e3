r"""Do the paper's claims hold in a table of `noisewalk bench`? Our rows minus each baseline's,
image by image.

A claim is about differences, and images differ more than methods do, so the differences are paired:
mean and standard error over the images that both rows have. Positive is better for PSNR and says
more diverse for the Diversity Score, pairwise LPIPS, pixel std and Vendi; negative is better for
LPIPS, and says more diverse for the similarity.

    python benchmarks/claims.py docs/results/table1-fashion32.json
    python benchmarks/claims.py docs/results/table3-fashion32.json --keys diversity_score similarity
    pairwise_lpips pixel_std vendi
    python benchmarks/claims.py docs/results/table1-fashion32.json --against ours1-em
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

import noisewalk as nw

KEYS = {
    "psnr": "PSNR of a sample",
    "ssim": "SSIM of a sample",
    "lpips": "LPIPS of a sample",
    "psnr_mean": "PSNR of the mean",
    "coverage": "coverage",
    "coverage_varied": "coverage where images vary",
    "diversity_score": "Diversity Score",
    "similarity": "similarity",
    "pairwise_lpips": "pairwise LPIPS",
    "pixel_std": "pixel std",
    "vendi": "Vendi score",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, help="table.json of `noisewalk bench`")
    parser.add_argument(
        "--keys", nargs="+", choices=list(KEYS), default=["psnr", "lpips", "psnr_mean"]
    )
    parser.add_argument(
        "--against", nargs="+", metavar="ROW", help="rows to compare ours with; default: all others"
    )
    args = parser.parse_args()
    table = json.loads(args.table.read_text())
    for task, rows in table["rows"].items():
        print(f"{table['tasks'][task]['title']}:")
        for key in args.keys:
            own = [name for name in rows if name.startswith("ours")]
            against = args.against or [name for name in rows if name not in own]
            for ours in (name for name in own if name not in against):
                shown = []
                for baseline in against:
                    gaps = differences(rows[ours], rows[baseline], key)
                    if len(gaps) > 1:
                        mean, error = nw.metrics.mean_and_se(gaps)
                        shown.append(f"{baseline} {mean:+.3f} +- {error:.3f}")
                if shown:
                    print(
                        f"  {KEYS[key]}, {ours} ({len(rows[ours]['images'])} images) minus "
                        + ", ".join(shown)
                    )


def differences(ours: dict[str, Any], baseline: dict[str, Any], key: str) -> torch.Tensor:
    """Ours minus the baseline's on the images that both have."""
    mine, theirs = (
        {cell["image"]: cell.get(key) for cell in row.get("images") or []}
        for row in (ours, baseline)
    )
    both = [k for k in mine if mine[k] is not None and theirs.get(k) is not None]
    return torch.tensor([mine[k] - theirs[k] for k in both], dtype=torch.float64)


if __name__ == "__main__":
    main()
