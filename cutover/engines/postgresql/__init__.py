"""
A PostgreSQL database: a store, homes, an outbox.
"""
