"""
`cutover serve`: one process that stands between a store and many routers, and goes on while the store is away.
"""
