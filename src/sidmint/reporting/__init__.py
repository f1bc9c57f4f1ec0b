"""The report people read: one HTML page a run, from tables and numbers to words and figures.

`run` names what a page shows, `summary` finds the words, `intervals` how sure the numbers are.
`tables` and the figures (`figures`, `level_figures`, `forest`) are the evidence, `against` is the
champion's side, `history` the versions before, `sections` what belongs to one tokenizer, and
`tree` the data of the prefix browser. `page` puts them into page.html.
"""
