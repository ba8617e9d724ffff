"""The order of the house: who may import whom, as docs/architecture.md shows it."""

import ast
import functools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# From the bottom. What stands on a floor may import what stands below it, and its neighbours
# as long as no circle comes of it.
FLOORS = (
    ("version", "errors", "structures", "files", "parsing", "pages", "threads"),
    ("sources", "detectors", "tracking", "engines"),
    ("estimators",),
    ("people",),
    ("drawing",),
    ("outputs", "web"),
    ("program",),
    ("archive",),
    ("doctor",),
    ("faces", "stream", "predict", "batch"),
)
# These may import anything, and nothing imports them.
OUTSIDE = ("training", "benchmarks", "samples", "tests", "setup")


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the programs and of what stands outside, by its dotted name."""
    tops = [*(name for floor in FLOORS for name in floor), *OUTSIDE]
    for top in tops:
        for path in [ROOT / f"{top}.py", *sorted((ROOT / top).rglob("*.py"))]:
            if path.is_file():
                parts = path.relative_to(ROOT).with_suffix("").parts
                yield ".".join(parts).removesuffix(".__init__"), path


def imports_of(path: Path, known: set[str]) -> set[str]:
    """The project's modules that a file imports anywhere in it, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{each.name}" for each in node.names]
            found |= {name if name in known else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return found & known


@functools.cache
def graph() -> dict[str, set[str]]:
    """Module -> the project's modules that it imports."""
    paths = dict(modules())
    return {name: imports_of(path, set(paths)) for name, path in paths.items()}


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The shortest circle through each node that lies on one, each circle once."""
    found: dict[frozenset[str], list[str]] = {}
    for start in edges:
        ways = [[start]]
        seen: set[str] = set()
        while ways:
            way = ways.pop(0)
            for after in sorted(edges.get(way[-1], ())):
                if after == start:
                    found.setdefault(frozenset(way), [*way, start])
                    ways = []
                    break
                if after not in seen:
                    seen.add(after)
                    ways.append([*way, after])
    return list(found.values())


def test_every_package_and_module_has_its_floor() -> None:
    placed = {name for floor in FLOORS for name in floor} | set(OUTSIDE)
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    loose = {path.stem for path in ROOT.glob("*.py")}
    assert (packages | loose) - placed == set()


def test_imports_point_downwards() -> None:
    floor_of = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    upward = [
        f"{module} imports {other}"
        for module, others in graph().items()
        if (own := floor_of.get(module.partition(".")[0])) is not None
        for other in sorted(others)
        if floor_of.get(other.partition(".")[0], len(FLOORS)) > own
    ]
    assert upward == []


def test_no_imports_run_in_a_circle() -> None:
    edges = graph()
    assert circles(edges) == []
    packages: dict[str, set[str]] = defaultdict(set)
    for module, others in edges.items():
        top = module.partition(".")[0]
        if top == "tests":  # a benchmark may use a helper of theirs
            continue
        packages[top] |= {other.partition(".")[0] for other in others} - {top}
    assert circles(packages) == []


def test_a_circle_would_be_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c", "b"]]
