"""The tables of docs/reproduced.md: a run with --record adds its column, or writes its own."""

import dataclasses
import json
import pathlib

ROOT = pathlib.Path(__file__).parents[2]
RECORD = ROOT / "docs" / "studies" / "reproduced.json"
PAGE = ROOT / "docs" / "reproduced.md"
BEGIN = "<!-- written by `python -m train.reproduce NAME --record` -->"
FAULTS = "<!-- written by `python -m tests.faults --record` -->"
END = "<!-- end of the table -->"
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def content(rows):
    """Return rows as JSON has them."""
    return [{**dataclasses.asdict(row), "passed": row.passed} for row in rows]


def record(entry, order, backend, seed, seconds, rows):
    """Keep a run next to those of other backends, and write the table again.

    `order` lists all entries, as the table shows them.
    """
    runs = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    runs.setdefault(entry, {})[backend] = {
        "seed": seed,
        "seconds": round(seconds),
        "rows": [
            {**row, "wanted": made.wanted} for row, made in zip(content(rows), rows, strict=True)
        ],
    }
    write({name: runs[name] for name in order if name in runs})


def write(runs):
    RECORD.write_text(json.dumps(runs, indent=1) + "\n")
    replace(BEGIN, markdown(runs))


def replace(begin, text, page=None):
    """Put a table into a page between the comment `begin` and the end of it."""
    page = page or PAGE
    before, rest = page.read_text().split(begin)
    _, after = rest.split(END, 1)
    page.write_text(f"{before}{begin}\n{text}\n{END}{after}")


def markdown(runs):
    """The table: a row a quantity, a column a backend."""
    lines = [
        f"| entry | quantity | expected | {' | '.join(BACKENDS.values())} |",
        "|---|---|---|" + "---|" * len(BACKENDS),
    ]
    for entry, by_backend in runs.items():
        first = next(iter(by_backend.values()))
        for i, row in enumerate(first["rows"]):
            cells = [_cell(by_backend.get(backend), i) for backend in BACKENDS]
            quantity = row["quantity"]
            if row["name"] != entry:
                quantity = f"{row['name']}: {quantity}"
            name = f"`{entry}`" if i == 0 else ""
            lines.append(f"| {name} | {quantity} | {row['wanted']} | {' | '.join(cells)} |")
        seconds = [str(by_backend.get(backend, {}).get("seconds", "")) for backend in BACKENDS]
        lines.append(f"| | seconds | | {' | '.join(seconds)} |")
    return "\n".join(lines)


def _cell(run, i):
    if run is None:
        return ""
    row = run["rows"][i]
    return f"{row['obtained']:.5g}" + ("" if row["passed"] else " (missed)")
