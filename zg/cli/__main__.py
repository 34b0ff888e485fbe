"""python -m zg.cli"""

import sys

from zg.cli.main import main

sys.exit(main())
