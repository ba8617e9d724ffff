"""What a user might take instead, each installed from its own pinned requirements.

    python -m benchmarks.alternatives.setup [NAME ...]      makes the environments

Each of the other modules is one program that plays a clip in the environment of its own
(`python -m benchmarks.alternatives.NAME CLIP --frames N`) and prints a line a frame; see
`playing`. They import nothing of the project but `playing` and `keras_model`.
"""
