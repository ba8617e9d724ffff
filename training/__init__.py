"""Reading labelled chips, training and measuring the age and gender networks."""
