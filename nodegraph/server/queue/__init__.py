"""The durable queue: what is to run, in which order, what became of it and who hears of it. Knows of no process and no protocol."""
