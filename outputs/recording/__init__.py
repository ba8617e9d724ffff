"""Recordings of the annotated picture: H.264 files that browsers play."""
