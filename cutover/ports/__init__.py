"""
What an engine can be: a store, a place of homes, an outbox. The docstrings are the specification.
"""
