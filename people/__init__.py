"""Who is and was in view: one census for the page, metrics, records and the table.

visits     a visit: one person of one camera, from the first frame to the last one
crowd      how many people, of which age and gender; the rule of anonymity
wording    one person as JSON, as cells of a table, as the words of a label
records    the records of docs/events.md
table      the CSV file with one row a person
"""
