"""Entry point for `python -m gco_stream`, which is equivalent to the `gco-stream` command."""

from gco_stream.cli.main import main

if __name__ == "__main__":
    main()
