"""What Schemathesis cannot make up from a pattern: entity tags.

Where a header has a pattern, its coverage phase tries letters and digits only. No entity tag
is made of these, so it found no valid `If-Match`, sent one that is not, and still expected to
succeed (4.32.5, specs/openapi/coverage: `_positive_string`, then `_seed_parameters`). A format
that it knows is free of that; and these tags are such as tasks really have.
"""

import schemathesis
from hypothesis import strategies

TAGS = strategies.sampled_from(['"1"', '"2"', '"3"', 'W/"1"', '""', '"no!such=tag"'])
LISTS = strategies.lists(TAGS, min_size=1, max_size=3).map(", ".join)

schemathesis.openapi.format("entity-tags", strategies.just("*") | LISTS)
