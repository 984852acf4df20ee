"""From bytes on a connection to a request, and from a result to an answer."""
