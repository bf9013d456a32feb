"""
An exported snapshot in a file: a source.
"""
