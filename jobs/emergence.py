"""Entry point for Ray's own command; takes the options of ``distlandscape emergence``, --out on a shared file system.

ray job submit --working-dir jobs -- python emergence.py --config FILE.yaml --out /shared/results
"""

import sys

from distlandscape.cli.main import main

sys.exit(main(["emergence", *sys.argv[1:]]))
