"""The command line ``parcache``: arguments in, a report's text out."""
