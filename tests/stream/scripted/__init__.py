"""A scripted server for DynamoDB's tables and streams, which can also do what no emulator does.

To learn how Streams work, read the modules in this order:

    shards.py      records, and the shards that hold them
    streams.py     a stream: shards that close, split, merge, are trimmed and listed late
    tables.py      a table whose changes become records
    iterators.py   the iterator: a position in a shard, valid for 15 minutes
    limits.py      rate limits and page sizes
    operations.py  the operations of both APIs
    faults.py      faults that replace the response to a call
    server.py      the wire protocol, and a record of every call
    doors.py       two transports for a real client: a socket, and memory for fake time
"""
