"""
Values and rules: no I/O, no clock, no threads, no randomness. Time and keys come in as arguments.
"""
