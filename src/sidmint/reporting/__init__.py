"""The report people read: one HTML page a run, from tables and numbers to words and figures.

`run` names what a page shows, `summary` finds the words, `tables` and `figures` the evidence,
`tree` the data of the prefix browser, and `page` puts them into page.html.
"""
