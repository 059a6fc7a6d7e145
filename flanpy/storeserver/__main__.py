"""`python -m flanpy.storeserver`: the same as flanpy-store."""

import sys

from flanpy.storeserver.main import main

sys.exit(main())
