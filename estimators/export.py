"""Make the other engines' files from a .keras file: entry point of `training.tools.export`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("training.tools.export", run_name="__main__")
