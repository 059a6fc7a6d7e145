"""`python -m flanpy.daemon` is flanpyd."""

from __future__ import annotations

import sys

from flanpy.daemon.main import main

sys.exit(main())
