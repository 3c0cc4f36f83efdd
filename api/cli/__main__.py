"""``python -m api.cli``, or ``python -m framemill`` where the wheel is installed."""

import sys

from .main import main

sys.exit(main())
