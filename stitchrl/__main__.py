"""`python -m stitchrl` is `stitch`."""

import sys

from stitchrl.cli import main

sys.exit(main())
