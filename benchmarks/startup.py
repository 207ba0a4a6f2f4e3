"""What `noisewalk --help` takes, over `python -c "import typer, rich"`.

The two run in turn, and the medians of their wall times are compared.

    python benchmarks/startup.py --repeats 15
"""

import argparse
import statistics
import subprocess
import sys
import time

HELP = "import sys; sys.argv[1:] = ['--help']; from noisewalk.cli.main import main; main()"
BARE = "import typer, rich"


def seconds(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    pairs = [(seconds(HELP), seconds(BARE)) for _ in range(repeats)]
    shown, bare = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"noisewalk --help {shown:.3f} s, import typer, rich {bare:.3f} s: {shown / bare:.2f}")


if __name__ == "__main__":
    main()
