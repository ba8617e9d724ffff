"""Make the files that other engines read out of a .keras file: door of `training.tools.export`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("training.tools.export", run_name="__main__")
