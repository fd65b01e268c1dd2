"""The chaos run: random users, cluster edits and faults against the real controller, then a quiet period, then judges.

`python -m tests.chaos.run --seconds 300 --seed N --endpoints 200 --replicas 3`
"""
