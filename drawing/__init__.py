"""What is drawn on a frame, and what is hidden in it."""
