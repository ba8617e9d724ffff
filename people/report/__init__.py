"""The audience report: one page about who was here, from records (docs/report.md).

reading    files of events -> records; what is wrong with them, a line each
tally      records -> sums by camera, hour and group; does not grow with the people
doubles    how many people were probably counted twice
groups     groups under five, which are never shown
presence   sums -> the numbers of the page
times      people by day, hour of the day, weekday
shapes     numbers -> the shapes of drawings
page       numbers -> sentences, tables, the page
leaving    what the record of somebody's leaving says
"""
