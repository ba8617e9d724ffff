"""Make the network file of `--estimator facenet`: the command's door.

The work is done by `training.tools.facenet_convert`.
"""

import runpy

if __name__ == "__main__":
    runpy.run_module("training.tools.facenet_convert", run_name="__main__")
