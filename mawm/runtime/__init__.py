"""The process itself: signals, console, worker processes, code of the user's."""
