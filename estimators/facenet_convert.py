"""Make the network of `--estimator facenet`: entry point of `training.tools.facenet_convert`."""

import runpy

if __name__ == "__main__":
    top = (__package__ or "").removesuffix("estimators")  # "faces." in an installation
    runpy.run_module(f"{top}training.tools.facenet_convert", run_name="__main__")
