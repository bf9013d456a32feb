"""
Where snapshots, ledgers and check-ins are kept: one protocol, one URL registry. All files of a store begin with its name.
"""
