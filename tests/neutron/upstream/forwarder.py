# ruff: noqa: N802, N815 - the names are unittest's
# mypy: ignore-errors
"""Neutron's own unit tests, with a running Kedge in the place of Neutron: run by Neutron's Python, not by Kedge's.

What they send to the WSGI application of their Neutron goes over HTTP to Kedge, whose URL is the first argument; what
came of each test is written to the file that the second one names. Options of Neutron that they set become Kedge's
settings of the same names, and what they ask of the plugin of their Neutron is asked of Kedge. Tests that reach deeper
into Neutron (its database, its callbacks) find nothing there, and fail.
"""

import http.client
import json
import sys
import unittest
from pathlib import Path
from unittest import mock
from urllib.parse import urlencode, urlsplit

from neutron.quota import resource_registry
from neutron.tests.common import test_db_base_plugin_v2 as base
from neutron.tests.unit import testlib_api
from neutron.tests.unit.plugins.ml2.test_port_binding import ExtendedPortBindingTestCase
from neutron_lib import exceptions
from neutron_lib.plugins import constants, directory
from oslo_config import cfg

SUITES = (
    base.TestPortsV2,
    base.TestNetworksV2,
    base.TestSubnetsV2,
    base.TestSubnetPoolsV2,
    ExtendedPortBindingTestCase,
)
PREFIX = "/network/v2.0"
COUNTED = ("network", "subnet", "port")
OPTIONS = ("max_dns_nameservers", "max_subnet_host_routes", "base_mac")
_PASSED_ON = {"HTTP_IF_MATCH": "If-Match"}


class Forwarder:
    """A WSGI application that sends what it gets to Kedge, and says in headers who the caller is."""

    def __init__(self, url):
        self.more_roles = ()
        self._rules = None
        self._kedge = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def forget(self):
        """Let Kedge delete all networks, subnets, subnet pools and ports."""
        self._ask("DELETE", "/everything", None, {})

    def extensions(self):
        """The aliases of what Kedge has of the network API."""
        caller = {"X-Roles": "admin"}
        _, _, body = self._ask("GET", f"{PREFIX}/extensions", None, caller)
        return [each["alias"] for each in json.loads(body)["extensions"]]

    def set_rules(self):
        """Let Kedge's settings be what the options of Neutron of the same meaning are now."""
        resources = resource_registry.get_all_resources()
        rules = {f"quota_{name}": resources[name].default for name in COUNTED if name in resources}
        rules |= {name: getattr(cfg.CONF, name) for name in OPTIONS}
        if rules != self._rules:
            self._ask("PUT", "/rules", json.dumps(rules).encode(), {"Content-Type": "application/json"})
            self._rules = rules

    def __call__(self, environ, start_response):
        self.set_rules()
        path = environ["PATH_INFO"].removesuffix(".json")
        if not path.startswith(PREFIX):  # the links of a list have it
            path = PREFIX + path
        if environ.get("QUERY_STRING"):
            path += f"?{environ['QUERY_STRING']}"
        headers = {new: environ[old] for old, new in _PASSED_ON.items() if old in environ}
        headers |= self._as(environ.get("neutron.context"))
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if body:
            headers["Content-Type"] = "application/json"
        status, kind, answer = self._ask(environ["REQUEST_METHOD"], path, body or None, headers)
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(answer)))])
        return [answer]

    def ask(self, caller, method, path, body=None):
        """One request of a caller; the answer's body. Raises Neutron's exception of the name that Kedge answers."""
        self.set_rules()
        headers = self._as(caller) | ({"Content-Type": "application/json"} if body else {})
        content = json.dumps(body).encode() if body else None
        status, _, answer = self._ask(method, f"{PREFIX}/{path}", content, headers)
        found = json.loads(answer) if answer else {}
        if not status.startswith("2"):
            kind = getattr(exceptions, found["NeutronError"]["type"], exceptions.NeutronException)
            error = kind.__new__(kind)  # its __init__ would make up the message
            error.msg = found["NeutronError"]["message"]
            raise error
        return found

    def _as(self, caller):
        roles = ["admin"] if caller is None or caller.is_admin else caller.roles or ["member"]
        project = {"X-Project-Id": caller.project_id} if caller and caller.project_id else {}
        return {"X-Roles": ",".join([*roles, *self.more_roles]), **project}

    def _ask(self, method, path, body, headers):
        self._kedge.request(method, path, body, headers)
        response = self._kedge.getresponse()
        kind = response.headers.get("Content-Type", "application/json")
        answer = response.read()
        self._kedge.close()  # Kept open, Kedge might just be closing it, as it is idle, when the next one is sent.
        return f"{response.status} {response.reason}", kind, answer


class Plugin:
    """In the place of the plugin of their Neutron: those of its calls that REST has, each asked of Kedge.

    There is no `delete_port`: it is put in only by tests which let it fail within Neutron.
    """

    _Plugin__native_bulk_support = True
    _Plugin__native_pagination_support = True
    _Plugin__native_sorting_support = True

    def __init__(self, kedge):
        self._kedge = kedge
        self.supported_extension_aliases = kedge.extensions()

    def start_rpc_listeners(self):
        """Called by the set-up of some."""

    def get_ports_count(self, caller, filters=None):
        """How many ports the caller sees."""
        return len(self._listed(caller, "ports", filters))

    def get_subnets_count(self, caller, filters=None):
        """How many subnets the caller sees."""
        return len(self._listed(caller, "subnets", filters))

    def get_subnetpools(self, caller, filters=None):
        """The subnet pools that the caller sees."""
        return self._listed(caller, "subnetpools", filters)

    def get_subnet(self, caller, subnet_id):
        """A subnet, and whether its network is shared, which REST shows there only."""
        subnet = self._kedge.ask(caller, "GET", f"subnets/{subnet_id}")["subnet"]
        network = self._kedge.ask(caller, "GET", f"networks/{subnet['network_id']}")["network"]
        return {**subnet, "shared": network["shared"]}

    def update_subnet(self, caller, subnet_id, subnet):
        """Change a subnet."""
        return self._kedge.ask(caller, "PUT", f"subnets/{subnet_id}", subnet)["subnet"]

    def update_port(self, caller, port_id, port):
        """Change a port."""
        return self._kedge.ask(caller, "PUT", f"ports/{port_id}", port)["port"]

    def delete_ports_by_device_id(self, caller, device_id, network_id=None):
        """Delete the ports of a device."""
        wanted = {"device_id": [device_id]} | ({"network_id": [network_id]} if network_id else {})
        for port in self._listed(caller, "ports", wanted):
            self._kedge.ask(caller, "DELETE", f"ports/{port['id']}")

    def _is_mac_in_use(self, caller, network_id, mac_address):
        wanted = {"network_id": [network_id], "mac_address": [mac_address]}
        return bool(self._listed(caller, "ports", wanted))

    def _validate_subnet(self, caller, subnet):
        made = self._kedge.ask(caller, "POST", "subnets", {"subnet": subnet})["subnet"]
        self._kedge.ask(caller, "DELETE", f"subnets/{made['id']}")

    def _listed(self, caller, collection, filters):
        query = urlencode(filters or {}, doseq=True)
        return self._kedge.ask(caller, "GET", f"{collection}?{query}")[collection]


class Outcomes(unittest.TestResult):
    """What came of each test, and if it did not pass, why."""

    def __init__(self):
        super().__init__()
        self.of = {}

    def addSuccess(self, test):
        self.of[_name(test)] = ["passed", ""]

    def addSkip(self, test, reason):
        self.of[_name(test)] = ["skipped", reason]

    def addFailure(self, test, err):
        self.of[_name(test)] = ["failed", self._exc_info_to_string(err, test)]

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.addFailure(test, err)


def _name(test):
    return ".".join(test.id().split(".")[-2:])


def main(url, outcomes_file, *names):
    kedge = Forwarder(url)
    plugin = Plugin(kedge)
    outcomes = Outcomes()

    def api():
        for name in COUNTED:  # as Neutron's APIRouter does
            resource_registry.register_resource_by_name(name)
        return kedge

    def set_up_plugin(_test, *_args, **_kwargs):
        kedge.forget()
        directory.add_plugin(constants.CORE, plugin)

    # Also when a test's set-up says otherwise: as with Neutron's own plugin, ML2.
    down = property(lambda _test: "DOWN", lambda _test, _status: None)

    # No schema, no plugin and no routes of Neutron's are set up: that is also what its tests spend most time on.
    with (
        mock.patch.object(testlib_api.BaseSqlTestCase, "_setup_database_fixtures", lambda _test: None),
        mock.patch.object(base.NeutronDbPluginV2TestCase, "setup_coreplugin", set_up_plugin),
        mock.patch.object(base.NeutronDbPluginV2TestCase, "port_create_status", down, create=True),
        mock.patch.object(base.router, "APIRouter", api),
    ):
        for suite in SUITES:
            # Its members make servers' ports, which with Kedge is for whoever runs the servers.
            kedge.more_roles = ("service",) if suite is ExtendedPortBindingTestCase else ()
            for test in unittest.defaultTestLoader.loadTestsFromTestCase(suite):
                if not names or _name(test) in names:
                    test(outcomes)
    Path(outcomes_file).write_text(json.dumps(outcomes.of), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
