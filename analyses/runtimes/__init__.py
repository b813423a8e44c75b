"""Networks and mechanisms in the runtimes in which they are deployed."""
