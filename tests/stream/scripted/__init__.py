"""DynamoDB's tables and streams as a server that does what it is told, also what no emulator does.

Who wants to learn how Streams work reads it in this order:

    shards.py      records, and the shards that hold them
    streams.py     a stream: shards that close, split, merge, are trimmed and listed late
    tables.py      a table, whose changes become records
    iterators.py   the iterator: a place in a shard, for 15 minutes
    limits.py      how often, and how much at once
    operations.py  the operations of both APIs
    faults.py      what a call may meet instead of its answer
    server.py      the wire: a request's bytes, the answer's bytes, and the record of every call
    doors.py       two ways in for a real client: over a socket, and through memory for fake time
"""
