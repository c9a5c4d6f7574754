"""Entry point for Ray's own command; takes the options of ``distlandscape train``, --out on a shared file system.

ray job submit --working-dir jobs -- python train.py --config FILE.yaml --out /shared/results
"""

import sys

from distlandscape.cli.main import main

sys.exit(main(["train", *sys.argv[1:]]))
