"""
Where snapshots, ledgers and check-ins are kept: one protocol, one URL registry; a store's files begin with its name.
"""
