"""The table of a study: a CSV file with one row for each run that finished."""

import csv


def row_of(path, columns, key, run):
    """Return the row of the run that `key` describes, a dictionary of text.

    If the table has none, `run()` makes the other columns, and the row is appended. So a study that
    was stopped goes on where it ended.
    """
    for row in rows(path):
        if key.items() <= row.items():
            return row
    row = {name: str(value) for name, value in {**key, **run()}.items()}
    with open(path, "a", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        if not file.tell():
            table.writeheader()
        table.writerow(row)
    return row


def rows(path):
    """Return all rows of a table, dictionaries of text; none if there is no file."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
