"""`python -m noisewalk` is the command `noisewalk`."""

from .cli.main import main

if __name__ == "__main__":
    main()
