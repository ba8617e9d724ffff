"""Annotating an archive of films with many workers; `batch.py` is its program.

    films      which films, under which names, and what was finished before
    jobs       what a worker does: look at a film, or annotate a whole one
    slices     what a worker does to a slice of a long film: analyse it, draw it
    seams      slices become one film again: ids, smoothed values
    joining    recordings of slices become one by packet copy
    workers    processes of this machine; `cluster` is the same through Ray
    running    which jobs a film needs, and doing those of all films

Workers share no memory and exchange files through the output folder only, so they may run
on other machines that see the films and that folder under the same paths.
"""
