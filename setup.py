"""Builds the installation: everything below one package, `faces`.

A checkout has the programs, `detectors/`, `tracking/` and so on at its top, so that
`python stream.py` runs as it is. Names such as `files` or `web` belong to whoever installs this
beside other packages: there they become `faces.files` and `faces.web`, and faces.py is the
package itself.
"""

import re
import shutil
from pathlib import Path
from typing import Any

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
COMMANDS = {"stream": "faces", "predict": "faces-predict", "batch": "faces-batch"}
LEFT_OUT = ("benchmarks*", "samples*", "tests*")
OF_THE_ROOT = ["pyproject.toml", "samples/sample.*", "weights/*"]


def own_packages() -> list[str]:
    """The packages of the checkout that are installed, such as `training.fitting`."""
    return find_packages(str(ROOT), exclude=LEFT_OUT)


def below_faces(source: str) -> str:
    """Return a module's text with this program's modules below `faces`.

    In imports, which are all of the form `from MODULE import NAME`, and in commands that are
    named to users, where `python stream.py` becomes `faces`, and the requirements file of the
    checkout the checkout itself.
    """
    loose = [path.stem for path in ROOT.glob("*.py") if path.stem not in ("setup", "faces")]
    names = "|".join([*(name for name in own_packages() if "." not in name), *loose])
    source = re.sub(rf"(?m)^(\s*from )((?:{names})(?:\.[\w.]+)? import )", r"\1faces.\2", source)
    source = re.sub(rf"(python -m )((?:{names})\b)", r"\1faces.\2", source)
    for program, command in COMMANDS.items():
        source = re.sub(rf"(?:python )?\b{program}\.py\b", command, source)
    return source.replace("-r requirements-live.txt", ".")


class BelowFaces(build_py):  # type: ignore[misc]
    """Copies the modules as `below_faces` has them."""

    def run(self) -> None:
        """See `setuptools.Command.run`."""
        if self.editable_mode:
            raise SystemExit("no editable installation: in a checkout, run python stream.py")
        shutil.rmtree(Path(self.build_lib, "faces"), ignore_errors=True)  # of an older version
        super().run()
        Path(self.build_lib, "faces", "py.typed").touch()

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """List the modules of a package; called by `build_py`."""
        found = super().find_package_modules(package, package_dir)
        return [each for each in found if each[1] != "setup"]

    def build_module(self, module: str, module_file: str, package: Any) -> tuple[str, bool]:
        """Write one module; called by `build_py`."""
        name = "__init__" if module == "faces" else module
        target, copied = super().build_module(name, module_file, package)
        Path(target).write_text(below_faces(Path(module_file).read_text("utf-8")), "utf-8")
        return str(target), bool(copied)


if __name__ == "__main__":
    below = [f"faces.{name}" for name in own_packages()]
    setup(
        packages=["faces", *below],
        package_dir={"faces": "."},
        package_data={"faces": OF_THE_ROOT} | {name: ["**"] for name in below},
        exclude_package_data={name: ["*.py", "*.pyc"] for name in below},
        cmdclass={"build_py": BelowFaces},
    )
