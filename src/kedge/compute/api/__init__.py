"""REST of hosts, servers, migrations, operations, rewirings and the doctor, under /kedge/v1."""
