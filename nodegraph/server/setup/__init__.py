"""How a server is set up: settings of all sources, folders of other programs, sockets."""
