"""How accurate networks are on labelled faces: figures, tables and pages."""
