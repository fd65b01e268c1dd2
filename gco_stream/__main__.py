"""`python -m gco_stream` is the program `gco-stream`."""

from gco_stream.cli.main import main

if __name__ == "__main__":
    main()
