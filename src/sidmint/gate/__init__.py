"""When a table may be published: thresholds -> rules -> results -> one verdict. Pure.

`thresholds` is the gate section of params.yaml; `rules` turns it into bounds on measured
numbers; `reasons` says each outcome in one sentence; `verdict` is what publishing reads.
Who decides whether a rule holds is passed in (`sidmint.adapters.gx_gate.judge`).
"""
