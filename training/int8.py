"""Make the int8 file of `--precision int8`: entry point of `training.tools.int8`."""

import runpy

if __name__ == "__main__":
    top = (__package__ or "").removesuffix("training")  # "faces." in an installation
    runpy.run_module(f"{top}training.tools.int8", run_name="__main__")
