"""
What the arguments and the functions of a mirrored write are.
"""
