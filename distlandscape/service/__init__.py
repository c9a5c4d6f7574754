"""The service: a Ray head and a tracking server on this machine, and jobs on it or on any Ray cluster.

It may use ``record`` and Ray's job client; it measures nothing and knows no study.
"""
