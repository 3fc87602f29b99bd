"""The command line: each command is a file in `commands/`, which parses, makes one library call, and prints."""
