"""
What operators do: the verbs over a store, behind `cutover.control`.
"""
