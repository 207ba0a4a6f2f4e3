"""Tiny trainings by the command line, in this process."""

import sys

from noisewalk.cli.main import main

TINY = {
    "size": 8,
    "widths": "32",
    "attention": "",
    "unshuffle": 1,
    "num_images": 4,
    "batch_size": 2,
}


def noisewalk(*args):
    """The command line in this process; its exit status."""
    before, sys.argv = sys.argv, ["noisewalk", *map(str, args)]
    try:
        main()
    except SystemExit as ended:
        return ended.code
    finally:
        sys.argv = before
    return 0


def train(command, **options):
    given = {f"--{key.replace('_', '-')}": value for key, value in options.items()}
    return noisewalk("train", command, *(part for pair in given.items() for part in pair))


def diffusion(data, out, **change):
    given = {**TINY, **change}
    return train(
        "diffusion",
        data=data,
        out=out,
        **{key: value for key, value in given.items() if value is not None},
    )
