"""Make first weights of EfficientNet-Lite0: entry of `training.tools.efficientnetlite0_convert`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("training.tools.efficientnetlite0_convert", run_name="__main__")
