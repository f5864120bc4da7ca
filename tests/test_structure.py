"""The rooms of the house: who imports whom, how long things are, what is borrowed of Keras."""

import ast
import functools
import importlib
import inspect
import pathlib
import re

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("keras_gen", "train")
FRAMEWORKS = {"tensorflow", "jax", "jaxlib", "torch"}

# The floors: a room imports from its own floor and from those below.
FLOORS = (
    {"arguments", "frameworks", "borrowed", "configs", "dtypes", "identifiers", "seeds", "files"}
    | {"pictures", "films", "settings"},
    {"backend"},
    {"distribution", "layers", "likelihoods", "losses", "metrics", "data", "posteriors"}
    | {"priors", "augment", "bounds", "networks", "optimizers", "schedules", "accelerate"},
    {"inference", "export", "checks", "door"},
    {"models", "ppca", "features"},
    {"callbacks", "saving", "report"},
    {"runs"},
    {"keras_gen"},
    {"train"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Rooms with an engine of each framework's own, and the only other files that import one.
ENGINES = {"backend", "distribution", "accelerate", "export"}
READERS = {
    "keras_gen/data/loading.py": "TensorFlow reads tfrecord files, on every backend.",
}

MOST_LINES, MOST_LINES_OF_A_FUNCTION = 350, 45
MOST_OF_BACKEND, MOST_OF_ALL = 900, 23_618
MOST_BORROWED, MOST_FILES_THAT_BORROW = 20, 6

pytestmark = pytest.mark.once


@functools.cache
def sources():
    """Every file of the two packages: its path under the root, and its text."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}


@functools.cache
def trees():
    return {path: ast.parse(text) for path, text in sources().items()}


def module_of(path):
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def room_of(module):
    package, _, rest = module.partition(".")
    return (rest.split(".")[0] or package) if package == "keras_gen" else package


def imported(path):
    """The modules that a file imports, at its top or in a function, with the line."""
    known = {module_of(name) for name in sources()}
    for node in ast.walk(trees()[path]):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: import by the full name"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield (name if name in known else node.module), node.lineno


@functools.cache
def graph():
    """Of each of our modules, those of ours that it imports."""
    known = {module_of(path): path for path in sources()}
    return {
        module: {name for name, _ in imported(path) if name in known and name != module}
        for module, path in known.items()
    }


def circle(edges):
    """A circle of a graph as a list, or None."""
    done, trail = set(), []

    def visit(node):
        if node in trail:
            return [*trail[trail.index(node) :], node]
        if node in done:
            return None
        trail.append(node)
        found = next(filter(None, map(visit, sorted(edges[node]))), None)
        trail.pop()
        done.add(node)
        return found

    return next(filter(None, map(visit, sorted(edges))), None)


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None


def test_no_imports_go_in_a_circle():
    assert circle(graph()) is None


def test_imports_go_one_way():
    wrong = [
        f"{module} imports {name}"
        for module, names in graph().items()
        for name in sorted(names)
        if floor_of(name) > floor_of(module)
    ]
    assert not wrong


def floor_of(module):
    room = room_of(module)
    assert room in FLOOR, f"{room} is new: add it to FLOORS, on a floor above all that it imports."
    return FLOOR[room]


def test_every_room_on_a_floor_is_there():
    assert FLOOR.keys() == set(map(room_of, graph()))


def test_nothing_needs_what_only_accelerates():
    users = {
        module
        for module, names in graph().items()
        for name in names
        if room_of(name) == "accelerate" and room_of(module) != "accelerate"
    }
    assert users <= {"keras_gen.models.base", "keras_gen"}


def test_frameworks_are_imported_where_their_engines_are():
    found = {
        path: line
        for path in sources()
        if path.startswith("keras_gen/") and room_of(module_of(path)) not in ENGINES
        for name, line in imported(path)
        if name.split(".")[0] in FRAMEWORKS
    }
    assert found.keys() == READERS.keys()


def test_no_file_is_too_long():
    lengths = {path: len(text.splitlines()) for path, text in sources().items()}
    assert not {path: n for path, n in lengths.items() if n > MOST_LINES}


def length(function):
    """The lines of a function without its docstring."""
    first = function.body[0]
    has_docstring = ast.get_docstring(function, clean=False) is not None
    docstring = first.end_lineno - first.lineno + 1 if has_docstring else 0
    return function.end_lineno - function.lineno + 1 - docstring


def test_no_function_is_too_long():
    lengths = {
        f"{path}:{node.lineno} {node.name}": length(node)
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }
    assert not {name: n for name, n in lengths.items() if n > MOST_LINES_OF_A_FUNCTION}


def lines_under(folder):
    return sum(
        len(text.splitlines()) for path, text in sources().items() if path.startswith(folder)
    )


def test_the_backend_is_small():
    assert lines_under("keras_gen/backend/") <= MOST_OF_BACKEND


def test_the_library_is_small():
    lines = lines_under("keras_gen/")
    assert lines <= MOST_OF_ALL, (
        f"{lines} lines: first look for what could go, then raise the limit"
    )


# What is borrowed: any `keras.src`, and any `_name` that Keras defines and we read or override.


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name != "_"


def defined(tree):
    """The private names that a piece of syntax defines."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            # What is set on another object is that object's.
            names |= {node.attr} if ast.unparse(node.value) in ("self", "cls") else set()
    return set(filter(is_private, names))


# Where Keras defines what a mixin or a faster optimizer of ours may override.
MACHINE = (
    *("trainers/trainer.py", "models/", "optimizers/", "layers/layer.py", "random/"),
    *("backend/common/", "backend/tensorflow/", "backend/jax/", "backend/torch/"),
)


@functools.cache
def of_keras(folders=("",)):
    """The private names of Keras, or of some of its folders."""
    source = pathlib.Path(inspect.getfile(keras)).parent / "src"
    return set().union(
        *(
            defined(ast.parse(path.read_text()))
            for path in source.rglob("*.py")
            if path.relative_to(source).as_posix().startswith(folders)
            and not path.name.endswith("_test.py")
        )
    )


@functools.cache
def of_class(cls):
    """The private names of the classes of Keras that a class of ours is made of."""
    bases = [base for base in cls.__mro__ if base.__module__.startswith("keras.src.")]
    return set().union(*(defined(ast.parse(_source(base))) for base in bases))


def _source(cls):
    lines, _ = inspect.getsourcelines(cls)
    indent = len(lines[0]) - len(lines[0].lstrip())
    return "".join(line[indent:] if line.strip() else line for line in lines)


@functools.cache
def of_ours():
    """The private names that we define ourselves."""
    return set().union(*map(defined, trees().values()))


def borrowed(path):
    """Yields (line, name) of every use in a file. `self` is looked up in the bases of its class."""
    tree, classes = trees()[path], {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            classes |= {part: node for part in ast.walk(node)}  # The innermost one stays.
    for node in ast.walk(tree):
        cls = classes.get(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = getattr(node, "module", None) or " ".join(a.name for a in node.names)
            if "keras.src" in modules:
                yield node.lineno, "keras.src"
        elif isinstance(node, ast.Attribute):
            if node.attr == "src" and ast.unparse(node.value) == "keras":
                yield node.lineno, "keras.src"
            elif is_private(node.attr) and _is_keras(node, path, cls):
                yield node.lineno, node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.match(r"keras[\\]?\.src\b", node.value):
                yield node.lineno, "keras.src"
            elif is_private(node.value) and node.value in of_keras() - of_ours():
                yield node.lineno, node.value
        elif isinstance(node, ast.FunctionDef) and is_private(node.name):
            if cls is not None and node in cls.body and node.name in _names_of(path, cls):
                yield node.lineno, node.name


def _is_keras(node, path, cls):
    if cls is not None and ast.unparse(node.value) in ("self", "super()", "cls"):
        return node.attr in _names_of(path, cls)
    return node.attr in of_keras() and (node.attr not in of_ours() or node.attr in overridden())


def _names_of(path, cls):
    if room_of(module_of(path)) in {*ENGINES, "train"}:
        return of_keras(MACHINE)  # Another framework's file cannot be imported to look at bases.
    value = getattr(importlib.import_module(module_of(path)), cls.name, None)
    return of_class(value) if inspect.isclass(value) else set()


@functools.cache
def overridden():
    """The private methods of Keras that a class of ours overrides."""
    return {
        node.name
        for path, tree in trees().items()
        for cls in ast.walk(tree)
        if isinstance(cls, ast.ClassDef)
        for node in cls.body
        if isinstance(node, ast.FunctionDef)
        and is_private(node.name)
        and node.name in _names_of(path, cls)
    }


@functools.cache
def uses():
    return {path: found for path in sources() if (found := sorted(set(borrowed(path))))}


def test_few_private_names_of_keras_are_used():
    table = {path: [f"{line} {name}" for line, name in found] for path, found in uses().items()}
    assert sum(map(len, uses().values())) <= MOST_BORROWED, table
    assert len(uses()) <= MOST_FILES_THAT_BORROW, table


def comment_at(path, line):
    """The comment on a line, and those directly above it."""
    lines = sources()[path].splitlines()
    above = line - 1
    while above and re.match(r"\s*[#@]", lines[above - 1]):
        above -= 1
    return "\n".join(re.findall(r"#.*", "\n".join(lines[above:line])))


def test_each_is_dated_and_says_what_would_replace_it():
    """By a comment such as `# Keras 3.15.1: private. A public ... would replace it.`"""
    wrong = [
        f"{path}:{line} {name}"
        for path, found in uses().items()
        for line, name in found
        if not re.search(r"Keras 3\.\d+", comment_at(path, line))
        or "replace" not in comment_at(path, line)
    ]
    assert not wrong


def test_nothing_private_of_a_framework_is_used():
    wrong = [
        f"{path}:{node.lineno} {name}"
        for path, tree in trees().items()
        if path.startswith("keras_gen/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.ImportFrom)
        for name in [node.module if isinstance(node, ast.ImportFrom) else ast.unparse(node)]
        if re.match(r"(torch|tf|tensorflow|jax)\.(.*\.)?_[a-zA-Z]", name or "")
    ]
    assert not wrong
