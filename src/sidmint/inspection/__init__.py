"""Tables made elsewhere: read as they come, measured, and judged by the gate's rules.

`files` tells the formats apart; `columns`, `texts`, `index` and `arrays` read one form each into a
`RawTable`; `layout` says what its numbers mean (level offsets, a suffix, sizes) and gives a
`CodeTable`; `vectors` and `behaviour` read what may stand beside it; `measures` measures what
these allow, with `implied` codebooks where the tokenizer's own are not at hand; `unmeasured`
says why the rest is missing; `inspection` puts it together and judges.

Nothing is believed: files are never unpickled, sizes are bounded before memory is asked for, and
what cannot be known from a table alone (codes never used beyond the largest one) is said.
"""

from sidmint.inspection.inspection import Inspection, inspect_table
from sidmint.inspection.layout import CodeTable

__all__ = ["CodeTable", "Inspection", "inspect_table"]
