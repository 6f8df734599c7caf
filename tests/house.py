"""The limits of this project, measured: `python tests/house.py` prints what breaks them and exits 1.

A code line holds a token that is neither comment nor docstring. A function's length counts its code lines with
those of functions inside it. Depth counts blocks within blocks (if, for, while, with, try, match); an elif is as
deep as its if. Branches are one, and one more for each if, loop, except, case, ternary, `and`, `or` and condition
of a comprehension. Nothing of the package is imported or run.

`floors.txt` lists modules from the ground up, one floor a line: a module imports only from lower floors.
"""

from __future__ import annotations

import ast
import fnmatch
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "stacserve"
FLOORS = Path(__file__).with_name("floors.txt")

MODULE_LINES = 400
FUNCTION_LINES = 60
NINE_IN_TEN_LINES = 30
MEDIAN_LINES = 10
DEPTH = 4
BRANCHES = 12
PARAMETERS = 8
OWN_IMPORTS = 14
BROAD_EXCEPTS = 3
IGNORES_IN_1000_LINES = 4
ANCESTORS = 2
ANCESTORS_OF_ERRORS = 3
ROOT_OF_ERRORS = "StacserveError"

# The package's door loads its names when they are used; a pytest plugin is loaded before anything is measured.
MAY_IMPORT_LATE = {"__init__", "pytest_plugin"}

# Where each third party may be imported; one that is not named here may be imported nowhere.
ROOMS = {
    "click": ["cli"],
    "isal": ["api.encoding"],
    "numpy": ["geometry", "store.*"],
    "orjson": ["*"],
    "pystac": ["catalog", "documents"],
    "shapely": ["geometry", "cql2*", "search", "store.*"],
    "sqlalchemy": ["store.*"],
    "starlette": ["app", "api.*"],
    "tqdm": ["cli"],
    "uvicorn": ["cli"],
}

# Who may know only a part of what lies below: the web knows of the store what every store has.
KNOWS_ONLY = {"api.*": ("store*", "store.interface")}

TOP_LEVEL = {
    *(".ci", ".dockerignore", ".gitignore", "CHANGELOG.md", "Dockerfile", "LICENSE", "README.md"),
    *("pyproject.toml", "sample_catalogs", "stacserve", "tests"),
}

Function = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
FORKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case, ast.IfExp)
NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
}


@dataclass(frozen=True)
class Module:
    """One file of the package; `name` is without the package, `api.links`, and `__init__` for the package itself."""

    name: str
    tree: ast.Module
    code_lines: frozenset[int]
    comments: tuple[str, ...]

    def functions(self) -> list[Function]:
        """Return every function and method, nested ones too."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    def classes(self) -> list[ast.ClassDef]:
        """Return every class."""
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)]


# ---- reading ------------------------------------------------------------------------


def read_package(folder: Path = PACKAGE) -> list[Module]:
    """Return the modules of a package, in the order of their paths."""
    return [read_module(path, folder) for path in sorted(folder.rglob("*.py"))]


def read_module(path: Path, folder: Path) -> Module:
    """Parse one file."""
    tree = ast.parse(path.read_bytes())
    with tokenize.open(path) as file:
        tokens = list(tokenize.generate_tokens(file.readline))
    code = {line for token in tokens if token.type not in NO_CODE for line in range(token.start[0], token.end[0] + 1)}
    comments = tuple(token.string for token in tokens if token.type == tokenize.COMMENT)
    parts = path.relative_to(folder).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"
    return Module(name, tree, frozenset(code - set(docstring_lines(tree))), comments)


def docstring_lines(tree: ast.Module) -> Iterator[int]:
    """Yield the numbers of the lines that docstrings stand on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | Function) and ast.get_docstring(node) is not None:
            text = node.body[0]
            yield from range(text.lineno, (text.end_lineno or text.lineno) + 1)


def imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the dotted names that the import statements among these nodes may mean."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(module: Module, names: set[str]) -> set[str]:
    """Return which modules of the package this one imports, anywhere in its file."""
    return {found for dotted in imported(ast.walk(module.tree)) if (found := own_module(dotted, names)) is not None}


def own_module(dotted: str, names: set[str]) -> str | None:
    """Return the module that `stacserve.a.b` is or lies in; None for a third party."""
    first, *rest = dotted.split(".")
    if first != PACKAGE.name:
        return None
    while rest and ".".join(rest) not in names:
        rest.pop()
    return ".".join(rest) or "__init__"


# ---- measuring ----------------------------------------------------------------------


def length(function: Function, module: Module) -> int:
    """Return the code lines of a function, its signature included."""
    return sum(line in module.code_lines for line in range(function.lineno, (function.end_lineno or 0) + 1))


def depth(node: ast.AST) -> int:
    """Return how many blocks lie inside one another below a node."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, depth(child) + (isinstance(child, BLOCKS) and not is_elif))
    return deepest


def branches(function: Function) -> int:
    """Return the ways through a function."""
    ways = 1
    for node in ast.walk(function):
        if isinstance(node, ast.BoolOp):
            ways += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            ways += len(node.ifs)
        else:
            ways += isinstance(node, FORKS)
    return ways


def parameters(function: Function) -> list[ast.arg]:
    """Return the parameters of a function, without self and cls."""
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    starred = [arg for arg in (function.args.vararg, function.args.kwarg) if arg is not None]
    return [arg for arg in [*named, *starred] if arg.arg not in ("self", "cls")]


def lineage(name: str, bases: dict[str, list[str]]) -> list[str]:
    """Return a class and the longest line of its parents in the package."""
    return [name, *max((lineage(base, bases) for base in bases[name] if base in bases), key=len, default=[])]


# ---- judging ------------------------------------------------------------------------


def broken_limits(modules: Sequence[Module]) -> list[str]:
    """Return a sentence for everything that is too long, too deep, too branched, untyped or undescribed."""
    return [
        *(complaint for module in modules for complaint in judge_module(module)),
        *judge_lengths(modules),
        *judge_exceptions(modules),
        *judge_ignores(modules),
        *judge_inheritance(modules),
    ]


def judge_module(module: Module) -> Iterator[str]:
    """Yield what is wrong with one file, taken alone."""
    if len(module.code_lines) > MODULE_LINES:
        yield f"{module.name} has {len(module.code_lines)} code lines, at most {MODULE_LINES}"
    for function in module.functions():
        yield from (f"{module.name}.{function.name} {what}" for what in judge_function(function, module))
    for name in undescribed(module.tree, module.name):
        yield f"{name} has no docstring"


def judge_function(function: Function, module: Module) -> Iterator[str]:
    """Yield what is wrong with one function."""
    measured = {
        "code lines": (length(function, module), FUNCTION_LINES),
        "blocks inside one another": (depth(function), DEPTH),
        "branches": (branches(function), BRANCHES),
        "parameters": (len(parameters(function)), PARAMETERS),
    }
    for what, (found, most) in measured.items():
        if found > most:
            yield f"has {found} {what}, at most {most}"
    if any(arg.annotation is None for arg in parameters(function)):
        yield "has a parameter without a type"
    if function.returns is None and function.name != "__init__":
        yield "returns something without a type"


def undescribed(node: ast.Module | ast.ClassDef, name: str) -> Iterator[str]:
    """Yield the names of the module, classes, public functions and methods that have no docstring."""
    if ast.get_docstring(node) is None:
        yield name
    if isinstance(node, ast.ClassDef) and node.name.startswith("_"):
        return
    for child in node.body:
        if isinstance(child, ast.ClassDef):
            yield from undescribed(child, f"{name}.{child.name}")
        elif isinstance(child, Function) and not child.name.startswith("_") and ast.get_docstring(child) is None:
            yield f"{name}.{child.name}"


def judge_lengths(modules: Sequence[Module]) -> Iterator[str]:
    """Yield whether functions on the whole are too long."""
    lengths = sorted(length(function, module) for module in modules for function in module.functions())
    nine_in_ten = lengths[int(0.9 * (len(lengths) - 1))]
    if nine_in_ten >= NINE_IN_TEN_LINES:
        yield f"one function in ten has {nine_in_ten} code lines or more, fewer than {NINE_IN_TEN_LINES} are asked for"
    median = statistics.median(lengths)
    if median >= MEDIAN_LINES:
        yield f"the median function has {median} code lines, fewer than {MEDIAN_LINES} are asked for"


def judge_exceptions(modules: Sequence[Module]) -> Iterator[str]:
    """Yield whether too many places catch everything."""
    handlers = [(m.name, node) for m in modules for node in ast.walk(m.tree) if isinstance(node, ast.ExceptHandler)]
    broad = [name for name, handler in handlers if catches_all(handler.type)]
    if len(broad) > BROAD_EXCEPTS:
        yield f"{len(broad)} places catch every exception, at most {BROAD_EXCEPTS}: {', '.join(broad)}"


def catches_all(caught: ast.expr | None) -> bool:
    """Return whether an except clause names no exception, or Exception itself."""
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(name is None or ast.unparse(name) in ("Exception", "BaseException") for name in names)


def judge_ignores(modules: Sequence[Module]) -> Iterator[str]:
    """Yield whether checkers are silenced too often, or without saying which rule."""
    silenced = [(m.name, c) for m in modules for c in m.comments if "noqa" in c or "type: ignore" in c]
    for name, comment in silenced:
        if "noqa:" not in comment and "type: ignore[" not in comment:
            yield f"{name} silences every rule: {comment}"
    most = IGNORES_IN_1000_LINES * sum(len(module.code_lines) for module in modules) / 1000
    if len(silenced) > most:
        yield f"{len(silenced)} lines silence a checker, at most {most:.0f}: {', '.join(name for name, _ in silenced)}"


def judge_inheritance(modules: Sequence[Module]) -> Iterator[str]:
    """Yield the classes that inherit through too many others."""
    classes = [(module.name, node) for module in modules for node in module.classes()]
    bases = {node.name: [ast.unparse(base).rpartition(".")[2] for base in node.bases] for _, node in classes}
    for module_name, node in classes:
        line = lineage(node.name, bases)
        most = ANCESTORS_OF_ERRORS if line[-1] == ROOT_OF_ERRORS else ANCESTORS
        if len(line) > most:
            yield f"{module_name}.{node.name} is {len(line)} classes deep, at most {most}"


# ---- imports ------------------------------------------------------------------------


def broken_imports(modules: Sequence[Module], floors: Sequence[Sequence[str]]) -> list[str]:
    """Return a sentence for every import that goes up or sideways, comes late, or leaves its room."""
    names = {module.name for module in modules}
    return [complaint for module in modules for complaint in judge_imports(module, names, floors)]


def judge_imports(module: Module, names: set[str], floors: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield what is wrong with the imports of one file."""
    own = own_imports(module, names) - {module.name}
    if len(own) > OWN_IMPORTS:
        yield f"{module.name} imports {len(own)} modules of the package, at most {OWN_IMPORTS}"
    floor = floor_of(module.name, floors)
    if floor is None:
        yield f"{module.name} stands on no floor"
    else:
        yield from (
            f"{module.name} imports {other}, which is not on a lower floor"
            for other in sorted(own)
            if (below := floor_of(other, floors)) is not None and below >= floor
        )
    for importer, (hidden, shown) in KNOWS_ONLY.items():
        if fnmatch.fnmatchcase(module.name, importer):
            yield from (
                f"{module.name} imports {o}, knowing only {shown}" for o in fnmatch.filter(own - {shown}, hidden)
            )
    late = [node.name for node in module.functions() if any(imported(ast.walk(node)))]
    if late and module.name not in MAY_IMPORT_LATE:
        yield f"{module.name} imports inside {', '.join(late)}"
    if any(isinstance(node, ast.Name) and node.id == "TYPE_CHECKING" for node in ast.walk(module.tree)):
        yield f"{module.name} imports for types alone"
    yield from judge_rooms(module)


def judge_rooms(module: Module) -> Iterator[str]:
    """Yield the third parties that a file imports outside of their rooms."""
    for party in sorted({dotted.partition(".")[0] for dotted in imported(ast.walk(module.tree))}):
        if party in sys.stdlib_module_names or party == PACKAGE.name:
            continue
        if not any(fnmatch.fnmatchcase(module.name, room) for room in ROOMS.get(party, [])):
            yield f"{module.name} imports {party}, which is at home in {ROOMS.get(party) or 'no module'}"


def read_floors(path: Path = FLOORS) -> list[list[str]]:
    """Return the floors, from the ground up; `a*` on one of them means every name that starts with a."""
    lines = (line.partition("#")[0].split() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def floor_of(name: str, floors: Sequence[Sequence[str]]) -> int | None:
    """Return the number of a module's floor; its own name goes before a pattern."""
    named = (number for number, floor in enumerate(floors) if name in floor)
    fitting = (n for n, floor in enumerate(floors) if any(fnmatch.fnmatchcase(name, pattern) for pattern in floor))
    return next(named, next(fitting, None))


# ---- the repository -----------------------------------------------------------------


def foreign_entries(root: Path = ROOT) -> list[str]:
    """Return what lies at the top of the repository and does not belong there; git says what is the repository's."""
    git = ["git", "-C", str(root), "-c", "safe.directory=*"]
    command = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    return sorted({file.partition("/")[0] for file in files if file} - TOP_LEVEL)


def main() -> int:
    """Print everything that breaks a limit; return the exit status."""
    modules = read_package()
    complaints = [*broken_limits(modules), *broken_imports(modules, read_floors())]
    for complaint in complaints:
        print(complaint)
    functions = sum(len(module.functions()) for module in modules)
    print(f"{len(modules)} modules, {functions} functions, {len(complaints)} limits broken")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
