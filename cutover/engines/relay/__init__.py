"""
A relay, spoken to over HTTP: a store.
"""
