"""Entry point of `python -m gco_stream`, which is the same as the `gco-stream` command."""

from gco_stream.cli.main import main

if __name__ == "__main__":
    main()
