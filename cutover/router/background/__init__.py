"""
The two threads of a router: one follows the store, the other keeps house and tells the store what was counted.
"""
