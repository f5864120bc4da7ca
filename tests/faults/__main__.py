"""Count what a run survives and where it goes, on every installed backend.

Kills, bad input, hostile files, other backends, exports and devices; a quarter of an hour.
"""

import argparse
import sys

from tests.faults import survival
from train.reproduce import table


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--data-dir", help="where TFDS keeps data sets (else TFDS_DATA_DIR)")
    parser.add_argument("--record", action="store_true", help="write the documentation's table")
    args = parser.parse_args(argv)
    rows = survival.table(args.data_dir)
    text = survival.markdown(rows)
    print(text)
    if args.record:
        table.replace(table.FAULTS, text)
    sys.exit(not all(row.passed for row in rows))


if __name__ == "__main__":
    main()
