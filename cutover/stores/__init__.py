"""
Where snapshots, ledgers and check-ins are kept: one file a store, one protocol, one URL registry.
"""
