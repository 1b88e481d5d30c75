"""The steps that a run remembers: each takes the object store and plain values, returns a record.

A record is JSON-able; files are named in it as {"object": digest}. A step is imported only when it
has to be computed, so these modules may import what is heavy.
"""
