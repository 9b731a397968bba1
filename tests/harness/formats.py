"""A Schemathesis format for entity tags, which it cannot generate from a pattern.

For a header with a pattern, its coverage phase tries letters and digits only. No entity tag
consists of these, so it found no valid `If-Match`, sent an invalid one, and still expected
success (4.32.5, specs/openapi/coverage: `_positive_string`, then `_seed_parameters`). A
registered format avoids that; and these tags are like those of real tasks.
"""

import schemathesis
from hypothesis import strategies

TAGS = strategies.sampled_from(['"1"', '"2"', '"3"', 'W/"1"', '""', '"no!such=tag"'])
LISTS = strategies.lists(TAGS, min_size=1, max_size=3).map(", ".join)

schemathesis.openapi.format("entity-tags", strategies.just("*") | LISTS)
