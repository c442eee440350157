"""A lab whose ports are bound by a real Neutron.

    with Neutron.up() as neutron, NeutronCloud.on(neutron) as cloud:
        tour.make_vm(cloud)

Kedge's control plane reaches Neutron on the loopback of its own namespace; tests and the demo on that of the machine.
Both are served from one database.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

import httpx2

from .cloud import STATE, Cloud
from .hypervisor import datapath_type
from .lab import Lab
from .neutron import CLOUD, Neutron, lab_agents

_API = "/network"


class NeutronCloud(Cloud):
    """A lab and the processes of Kedge on it, with a Neutron as their network service."""

    def __init__(self, lab: Lab, neutron: Neutron) -> None:
        super().__init__(lab)
        self._neutron = httpx2.Client(base_url=neutron.url, timeout=90)
        self.control_environment = {"OS_CLIENT_CONFIG_FILE": str(neutron.clouds_yaml())}
        self._configure("auto")

    @classmethod
    def on(cls, neutron: Neutron) -> Self:
        """Make a lab and start Kedge on it. What was made is removed when a step fails."""
        cloud = cls(Lab.up(), neutron)
        try:
            neutron.add_agents(lab_agents(datapath_type(cloud.lab.hosts["h3"])))
            neutron.serve(cloud.lab.control)
            cloud.start()
        except BaseException:
            cloud.down()
            raise
        return cloud

    def use(self, strategy: Literal["parallel", "rebind-early"]) -> None:
        """Start the control plane anew, with another strategy."""
        if self.control is not None:
            self.control.terminate()
            self.control.wait(timeout=20)
        self._configure(strategy)
        self.start_control()

    def down(self) -> None:
        """Remove everything but Neutron."""
        self._neutron.close()
        super().down()

    def _configure(self, strategy: str) -> None:
        STATE.mkdir(exist_ok=True)
        file = STATE / "kedge.toml"
        file.write_text(f'[network]\nservice = "neutron"\ncloud = "{CLOUD}"\nstrategy = "{strategy}"\n')
        self.control_options = (f"--config={file}",)

    # What concerns networks is asked of Neutron itself.

    def get(self, path: str, **params: str | int) -> Any:
        """GET, the answer's JSON. Raises the KedgeError that was answered."""
        if path.startswith(_API):
            return self._answer(self._neutron.get(path.removeprefix(_API), params=params))
        return super().get(path, **params)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST, the answer's JSON."""
        if path.startswith(_API):
            return self._answer(self._neutron.post(path.removeprefix(_API), json=body))
        return super().post(path, body)

    def delete(self, path: str) -> None:
        """DELETE."""
        if path.startswith(_API):
            self._answer(self._neutron.delete(path.removeprefix(_API)))
        else:
            super().delete(path)
