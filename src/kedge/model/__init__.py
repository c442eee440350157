"""What things are: ports, bindings, hosts, servers and migrations, and the errors about them."""
