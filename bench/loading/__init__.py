"""Time how fast packages are loaded for training, beside what people load with."""
