"""Who is and was in view: one census for the page, metrics, records and the table.

visits     a visit: one person of one camera, from the first frame to the last one
attention  who looked this way, and how long
bands      the age bands that people are counted by
ages       the mean age of those who left
crowd      how many people, of which age and gender; the rule of anonymity
summary    the numbers of all cameras together
zones      lines and zones: where they lie, and what lies in them
footfall   who crossed the lines, and who was in the zones for how long
hours      who came and went, by hour and day
correction counts of groups corrected by the network's errors, with an interval
wording    one person as JSON, as cells of a table, as the words of a label
records    the records of docs/events.md
table      the CSV file with one row a person
report     the audience report, a page made of records
"""
