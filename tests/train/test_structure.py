"""How the modules of train/ depend on each other."""

import ast
import pathlib

import pytest

from train import gan, vae

ROOT = pathlib.Path(__file__).parents[2]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "train").rglob("*.py")
}


def imports(path):
    """Every module that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_there_is_no_circle():
    below = {
        name: {other for other in imports(path) if other in FILES} for name, path in FILES.items()
    }
    below = {name: others - {"train", name} for name, others in below.items()}
    while leaves := [name for name, others in below.items() if not others]:
        for leaf in leaves:
            del below[leaf]
        for others in below.values():
            others.difference_update(leaves)
    assert below == {}


def test_nothing_depends_on_the_tests():
    for name, path in FILES.items():
        assert not [other for other in imports(path) if other.split(".")[0] == "tests"], name


def test_files_and_functions_are_short():
    for name, path in FILES.items():
        text = path.read_text()
        assert len(text.splitlines()) <= 350, name
        if name.startswith("train.benchmark"):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                lines = node.end_lineno - node.lineno + 1
                docstring = ast.get_docstring(node) or ""
                assert lines - len(docstring.splitlines()) <= 45, (name, node.name)


@pytest.mark.parametrize("script", [gan, vae])
def test_each_script_is_parse_load_build_compile_fit_save(script):
    text = pathlib.Path(script.__file__).read_text()
    train = next(f for f in ast.parse(text).body if getattr(f, "name", None) == "train")
    calls = [n.func for n in ast.walk(train) if isinstance(n, ast.Call)]
    calls.sort(key=lambda func: (func.lineno, func.col_offset))
    names = [getattr(func, "attr", getattr(func, "id", None)) for func in calls]
    order = [names.index(name) for name in ("load", "build", "compile", "fit", "finish")]
    assert order == sorted(order)
