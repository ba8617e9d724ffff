"""What `pip install .` brings: one package, `faces`, that fits beside all others."""

import ast
import importlib.metadata
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import setuptools

from setup import below_faces, own_packages
from tests.test_architecture import FLOORS, OUTSIDE

ROOT = Path(__file__).resolve().parent.parent
OURS = {name for floor in FLOORS for name in floor} - {"faces"}
DATA = ("weights", "samples/sample.*", "pyproject.toml")
NEIGHBOURS = ("numpy", "supervision", "trackers", "tensorflow", "scipy", "keras", "cv2")


def shipped() -> Iterator[Path]:
    """Every module that is installed."""
    yield from (path for path in ROOT.glob("*.py") if path.stem != "setup")
    for package in own_packages():
        yield from (ROOT / package.replace(".", "/")).glob("*.py")


def imported(source: str) -> set[str]:
    """The top-level names that a module imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
    return found


def test_no_installed_module_imports_a_name_that_others_may_have() -> None:
    modules = list(shipped())
    assert len(modules) > 150
    left = {
        str(path.relative_to(ROOT)): sorted(names)
        for path in modules
        if (names := imported(below_faces(path.read_text("utf-8"))) & (OURS | set(OUTSIDE)))
    }
    assert left == {}


def test_an_installed_module_has_its_lines_where_they_were() -> None:
    for path in shipped():
        source = path.read_text("utf-8")
        assert source.count("\n") == below_faces(source).count("\n")


@pytest.mark.parametrize(
    ("line", "installed"),
    [
        ("from errors import redact", "from faces.errors import redact"),
        ("    from web.view import WebView", "    from faces.web.view import WebView"),
        ("from website import open", "from website import open"),
        ("    from .own import x", "    from .own import x"),
        ("python -m estimators.export F", "python -m faces.estimators.export F"),
        ("python -m venv x", "python -m venv x"),
        ("  python predict.py photos/", "  faces-predict photos/"),
        ('prog="batch.py",', 'prog="faces-batch",'),
        ("upstream.py", "upstream.py"),
        ("`pip install -r requirements-live.txt`", "`pip install .`"),
    ],
)
def test_imports_and_commands_are_those_of_the_installation(line: str, installed: str) -> None:
    assert below_faces(line) == installed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation's file, built of a copy of the tracked files without network."""
    if int(setuptools.__version__.partition(".")[0]) < 77:
        pytest.skip("setuptools is too old: make test installs what it needs")
    folder = tmp_path_factory.mktemp("wheel")
    for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines():
        if not name.startswith(("tests/", "docs/")) and (ROOT / name).is_file():
            (folder / "src" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "src" / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(folder / "src")], check=True)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_one_name_is_installed_and_no_other_package_has_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        tops = {name.partition("/")[0] for name in file.namelist()}
    importable = {name for name in tops if not name.endswith(".dist-info")}
    assert importable == {"faces"}
    others = importlib.metadata.packages_distributions()
    assert importable.isdisjoint({*NEIGHBOURS, *OUTSIDE, *others} - {"faces"})


@pytest.mark.slow
def test_all_that_the_programs_read_is_installed(wheel: Path) -> None:
    folders = {name.partition(".")[0] for name in own_packages()}
    list_files = ["git", "ls-files", *DATA, *folders]
    tracked = subprocess.check_output(list_files, cwd=ROOT, text=True)
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        assert {f"faces/{name}" for name in tracked.splitlines()} <= names
    assert "faces/py.typed" in names and "faces/setup.py" not in names


@pytest.mark.slow
def test_an_installation_works_beside_modules_of_the_same_names(
    wheel: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    for name in ("files", "errors", "sources", "program"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not ours')")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    module, function = scripts["faces"].split(":")
    flags = ["--src", "sample", "--no-window", "--max-frames", "20", "--people", "o.csv"]
    code = f"import sys; sys.argv[1:] = {flags}; import {module} as m; m.{function}()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "nobody in 1 s" in done.stderr) == (0, True), done.stderr
    assert (tmp_path / "o.csv").read_text().startswith("id,")
