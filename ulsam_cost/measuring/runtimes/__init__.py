"""The runtimes in which networks are deployed: each measures exported files, in a process of its own."""
