"""
Move a running business from one back end to another, flow by flow, without its users noticing.
"""
