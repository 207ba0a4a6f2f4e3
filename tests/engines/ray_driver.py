"""A driver of four runs on a Ray cluster, which tells of each that has ended."""

import sys

from units import FEW, Slow, target

import noisewalk as nw

if __name__ == "__main__":
    folder, address = sys.argv[1:]
    targets = {f"r{k}": target(k, Slow(0.05)) for k in range(4)}
    nw.sample_many(targets, folder, nw.engines.Ray(address), **FEW)
