"""`python -m cli`, the same as `todo-api`."""

import sys

from cli import main

sys.exit(main())
