"""Make the network of `--estimator facenet`: entry point of `training.tools.facenet_convert`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("training.tools.facenet_convert", run_name="__main__")
