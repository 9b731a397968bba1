"""Imported by the fork server of the workers: what it has in memory, they share.

A collection would write to every object, and so copy its memory into each worker.
"""

import gc

from handlers.site.pages import static_files
from handlers.site.rendering import templates

static_files()
templates()
gc.collect()
gc.freeze()
