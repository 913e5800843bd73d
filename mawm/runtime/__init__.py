"""The process: signals, console output, child processes, import of user code."""
