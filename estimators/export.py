"""Make the other engines' files from a .keras file: entry point of `training.tools.export`."""

import runpy

if __name__ == "__main__":
    top = (__package__ or "").removesuffix("estimators")  # "faces." in an installation
    runpy.run_module(f"{top}training.tools.export", run_name="__main__")
