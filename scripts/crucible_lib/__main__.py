"""Entry point of `scripts/crucible`."""
import os
import sys

sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from crucible_lib import interpreter  # noqa: E402  (the path must be set first)

interpreter.ensure()

from crucible_lib import cli  # noqa: E402  (written for the interpreter just ensured)

sys.exit(cli.main())
