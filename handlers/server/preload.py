"""Imported last by the fork server of the workers: what it has imported stays shared.

A collection would write to every object, and so copy its memory into each worker.
"""

import gc

gc.collect()
gc.freeze()
