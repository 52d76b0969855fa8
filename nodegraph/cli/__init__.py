"""The command line. Each command lives in a file of its own and is imported only when called, so that `--help` is quick."""
