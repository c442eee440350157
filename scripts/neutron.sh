#!/bin/sh
# Installs a real Neutron into the virtual environment .venv-neutron, and the MariaDB that it keeps its data in.
# As root on Debian 12. Starts nothing; quick when all is there.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
venv=$here/.venv-neutron
wanted="neutron==29.* uWSGI==2.0.* PyMySQL==1.*"
# What Neutron's own unit tests need beside it.
wanted="$wanted ddt==1.* oslotest==6.* testresources==2.* testscenarios==0.* testtools==2.* WebTest==3.*"

[ "$(id -u)" = 0 ] || { echo "neutron: run this as root" >&2; exit 1; }

# The programs alone: these packages have no service that could be started.
if ! command -v mariadbd >/dev/null || ! command -v my_print_defaults >/dev/null; then
    echo "neutron: installing MariaDB"
    apt-get -q -q update
    DEBIAN_FRONTEND=noninteractive apt-get -q -q install -y --no-install-recommends \
        mariadb-server-core mariadb-client-core
fi

if [ "$(cat "$venv/.ready" 2>/dev/null)" != "$wanted" ]; then
    echo "neutron: installing $wanted into $venv"
    rm -rf "$venv"
    /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --upgrade pip
    # shellcheck disable=SC2086
    "$venv/bin/pip" install --quiet --disable-pip-version-check $wanted
    echo "$wanted" > "$venv/.ready"
fi
echo "neutron: $("$venv/bin/pip" --disable-pip-version-check list 2>/dev/null | awk '$1 == "neutron" {print $1, $2}') is there"
