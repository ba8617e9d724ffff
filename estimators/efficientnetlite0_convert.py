"""Make first weights of EfficientNet-Lite0: entry of `training.tools.efficientnetlite0_convert`."""

import runpy

if __name__ == "__main__":
    top = (__package__ or "").removesuffix("estimators")  # "faces." in an installation
    runpy.run_module(f"{top}training.tools.efficientnetlite0_convert", run_name="__main__")
