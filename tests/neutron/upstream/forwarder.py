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
from urllib.parse import urlsplit

from neutron.quota import resource_registry
from neutron.tests.common import test_db_base_plugin_v2 as base
from neutron.tests.unit import testlib_api
from neutron.tests.unit.plugins.ml2.test_port_binding import ExtendedPortBindingTestCase
from neutron_lib.plugins import constants, directory
from oslo_config import cfg

SUITES = (base.TestPortsV2, base.TestNetworksV2, base.TestSubnetsV2, ExtendedPortBindingTestCase)
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
        """Let Kedge delete all networks, subnets and ports."""
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
        caller = environ.get("neutron.context")
        roles = ["admin"] if caller is None or caller.is_admin else caller.roles or ["member"]
        headers["X-Roles"] = ",".join([*roles, *self.more_roles])
        if caller and caller.project_id:
            headers["X-Project-Id"] = caller.project_id
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if body:
            headers["Content-Type"] = "application/json"
        status, kind, answer = self._ask(environ["REQUEST_METHOD"], path, body or None, headers)
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(answer)))])
        return [answer]

    def _ask(self, method, path, body, headers):
        self._kedge.request(method, path, body, headers)
        response = self._kedge.getresponse()
        kind = response.headers.get("Content-Type", "application/json")
        return f"{response.status} {response.reason}", kind, response.read()


class NoPlugin:
    """What Neutron's tests ask of the plugin of their Neutron while they are set up; there is no more of it."""

    _NoPlugin__native_bulk_support = True
    _NoPlugin__native_pagination_support = True
    _NoPlugin__native_sorting_support = True

    def __init__(self, extensions):
        self.supported_extension_aliases = extensions

    def start_rpc_listeners(self):
        """Called by the set-up of some."""


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
    plugin = NoPlugin(kedge.extensions())
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
