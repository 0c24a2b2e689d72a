"""``python -m multiplespawner_core.cli``, where the command is not on the path."""

import sys

from multiplespawner_core.cli import main

sys.exit(main())
