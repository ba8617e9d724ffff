"""The programs' common parts: options, assembly, the pipeline of a frame, the loop over frames."""
