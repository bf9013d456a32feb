"""
What calls a back end, and the other one beside it: `Flow.switch`, how its calls are judged, comparisons.
"""
