"""The chaos run: users, hands and faults at random on the real controller, then quiet, then judges.

`python -m tests.chaos.run --seconds 300 --seed N --endpoints 200 --replicas 3`
"""
