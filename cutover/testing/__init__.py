"""
For tests: of applications that route, and of stores that keep the contract.
"""
