"""The former name of ``python -m worker.maintenance``, kept for one release."""

from worker.maintenance.__main__ import main

if __name__ == "__main__":
    main()
