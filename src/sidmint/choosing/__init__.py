"""Which tokenizer suits a catalogue: tries on a budget, compared, and one recommended.

Knows how tries are made, kept and compared; no workspace, no champion but its codes.
"""
