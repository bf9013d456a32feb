"""
A Redis or Valkey server: a store, homes.
"""
