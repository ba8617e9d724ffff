"""Read labelled chips, train and measure the age and gender networks."""
