"""
One SQLite file: a store, homes, an outbox.
"""
