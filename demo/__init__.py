"""
The demo: two shop back ends, an application of several processes between them, and an operator at the command line.
"""
