"""
This process's memory, for tests: a store, homes, an outbox.
"""
