"""Run the tutorials and the course in full, and write what they print and draw into their pages.

The blocks of a page are one program. Behind each block that prints stands what it printed, and a
picture that the program writes as `name.png` is shown as `pictures/PAGE/name.png`. The tests run
the same programs with the values that stand behind `# quick:`.
"""

import argparse
import contextlib
import io
import os
import pathlib
import re
import shutil
import tempfile
import time

DOCS = pathlib.Path(__file__).parents[1] / "docs"
# A block of Python, unless a comment says why it is not run, and the output behind it.
BLOCK = re.compile(
    r"(<!-- not run: .*? -->\n)?```python\n(.*?)```\n(\n```text\n.*?```\n)?", re.DOTALL
)
QUICK = re.compile(r"^(\w+ = ).*  # quick: (.*)$", re.MULTILINE)
PICTURE = re.compile(r"!\[[^]]*\]\([./]*pictures/([\w/]+)\.png\)")


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m train.tutorials", description=__doc__)
    pages = {path.stem: path for path in teaching()}
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"of {', '.join(pages)}; or all")
    args = parser.parse_args(argv)
    if unknown := set(args.pages) - pages.keys():
        parser.error(f"there is no page {', '.join(sorted(unknown))}")
    os.environ.setdefault("MPLBACKEND", "agg")
    for name in args.pages or pages:
        start = time.perf_counter()
        rewrite(pages[name])
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)


def teaching():
    """Return the paths of the pages, those of the course last."""
    return [path for name in ("tutorials", "course") for path in sorted((DOCS / name).glob("*.md"))]


def rewrite(page):
    """Run a page in full in a new folder; put its outputs into it and its pictures into docs/."""
    text = page.read_text()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        outputs = iter(run(text))
        for name in pictures(text, page.stem):
            target = DOCS / "pictures" / page.stem / f"{name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(f"{name}.png", target)

    def with_output(match):
        not_run, code, _ = match.groups()
        if not_run:
            return match[0]
        output = next(outputs)
        return f"```python\n{code}```\n" + (f"\n```text\n{output}```\n" if output else "")

    page.write_text(BLOCK.sub(with_output, text))


def run(text, quick=False):
    """Run the blocks of a page as one program, in this folder; return what each of them prints."""
    names, outputs = {"__name__": "__main__"}, []
    for not_run, code, _ in BLOCK.findall(text):
        if not not_run:
            code = QUICK.sub(r"\1\2", code) if quick else code
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(code, names)
            # Where the page was run is no part of it.
            outputs.append(output.getvalue().replace(f"{pathlib.Path.cwd()}/", ""))
    return outputs


def pictures(text, page):
    """Return the names of the pictures that the program of a page draws, without their ending."""
    names = [name.partition("/") for name in PICTURE.findall(text)]
    return [name for folder, _, name in names if folder == page]


if __name__ == "__main__":
    main()
