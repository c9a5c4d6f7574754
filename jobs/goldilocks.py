"""Entry point for Ray's own command; takes the options of ``distlandscape goldilocks``, --out on a shared file system.

ray job submit --working-dir jobs -- python goldilocks.py --config FILE.yaml --out /shared/results
"""

import sys

from distlandscape.cli.main import main

sys.exit(main(["goldilocks", *sys.argv[1:]]))
