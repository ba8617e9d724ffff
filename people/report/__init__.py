"""The audience report: one page about who was here, from records (docs/report.md).

reading    files of events -> records; what is wrong with them, a line each
tally      records -> sums by camera, hour and group; does not grow with the people
doubles    how many people were probably counted twice
groups     groups under five, which are never shown
audience   sums -> the numbers and sentences of the page
plots      numbers -> the shapes of its drawings
"""
