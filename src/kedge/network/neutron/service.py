"""`NetworkService` on a Neutron that somebody runs already."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from sqlalchemy.orm import Session

from kedge.core.adopt import Recognised
from kedge.model.errors import BadRequest, CannotBind, Conflict, KedgeError, NotFound
from kedge.model.network import Binding, BindingStatus, Network, NetworkType, Port, Segment, ServerAddress
from kedge.model.rewiring import RewiredPort, Wiring
from kedge.store import batched

from ..errors import NetworkNotFound, PortBindingAlreadyExists, PortBindingError, PortNotFound
from . import forms, strategy
from .calls import Json, Neutron
from .notes import Place
from .parallel import Parallel
from .rebind_early import RebindEarly
from .strategy import Strategy

EXTENSION = "binding-extended"
_IDS_IN_A_QUERY = 100  # a URL is cut off at some thousands of characters
_AT_ONCE = 8  # calls; Neutron's workers are the limit


class NeutronNetworkService:
    """`NetworkService` through Neutron's API.

    What Neutron can't give: the switch of all ports is no transaction (ports that were switched are put back when
    one fails), the bindings of several ports are not seen at one moment, and a preview is a prediction.

    Args:
        neutron: the cloud's.
        strategy: `parallel` needs the extension `binding-extended`; `auto` takes it where it is offered.
    """

    def __init__(
        self, neutron: Neutron, *, strategy: Literal["auto", "parallel", "rebind-early"] = "auto"
    ) -> None:
        self._neutron = neutron
        self._wanted = strategy
        self._workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="neutron")
        self._chosen: Strategy | None = None

    @property
    def cloud(self) -> str:
        """The cloud's name in clouds.yaml."""
        return self._neutron.cloud

    def close(self) -> None:
        """End the threads that calls are made from."""
        self._workers.shutdown()

    def network(self, network_id: str) -> Network:
        """The network with this id. Raises BadRequest for one that Kedge can't carry."""
        try:
            found = self._neutron.get(f"/networks/{network_id}")["network"]
        except NotFound as error:
            raise NetworkNotFound(network_id) from error
        return forms.network_of(found, self.cloud)

    def networks(self) -> list[Network]:
        """All networks that Kedge can carry, in the order in which they were made."""
        found = self._neutron.get("/networks")["networks"]
        return forms.usable_networks(sorted(found, key=_made), self.cloud)

    def create_network(self, name: str, segment: Segment, *, mtu: int = 1500) -> Network:
        """Make a network, without a subnet."""
        wanted: dict[str, Any] = {
            "name": name,
            "mtu": mtu,
            "provider:network_type": segment.network_type.value,
            "provider:physical_network": segment.physical_network,
        }
        if segment.network_type is NetworkType.VLAN:
            wanted["provider:segmentation_id"] = segment.segmentation_id
        return forms.network_of(self._neutron.post("/networks", {"network": wanted})["network"], self.cloud)

    def delete_network(self, network_id: str) -> None:
        """Delete a network that has no ports."""
        self._neutron.delete(f"/networks/{network_id}")

    def port(self, port_id: str) -> Port:
        """The port with this id."""
        return forms.port_of(self._port(port_id))

    def ports_of(self, device_id: str) -> list[Port]:
        """The ports of a server, in the order in which they were made, as far as Neutron's seconds tell."""
        return [forms.port_of(each) for each in self._ports_of(device_id)]

    def bound_ports(self, device_id: str) -> list[tuple[Port, list[Binding]]]:
        """The ports of a server, each with all its bindings; each port at a moment of its own."""
        found = self._ports_of(device_id)
        return list(
            zip(map(forms.port_of, found), self._workers.map(self._strategy.bindings, found), strict=True)
        )

    def addresses(self, device_ids: Collection[str]) -> list[ServerAddress]:
        """The addresses of all ports of these servers, in the order in which the ports were made."""
        ports = [
            port
            for some in batched(device_ids, _IDS_IN_A_QUERY)
            for port in self._neutron.get("/ports", device_id=some)["ports"]
        ]
        names = (
            {each["id"]: each["name"] for each in self._neutron.get("/networks")["networks"]} if ports else {}
        )
        return [
            ServerAddress(
                port["device_id"],
                names.get(port["network_id"]) or port["network_id"],
                port["mac_address"],
                each["ip_address"],
            )
            for port in sorted(ports, key=_made)
            for each in port["fixed_ips"]
        ]

    def bindings(self, port_id: str) -> list[Binding]:
        """All bindings of a port, the ACTIVE one first."""
        return self._strategy.bindings(self._port(port_id))

    def preview(self, port_id: str, host: str) -> Binding:
        """How the port would probably be bound on `host`: a prediction from what Neutron's agents say."""
        port = self._port(port_id)
        shown = self._strategy.bindings(port)
        present = strategy.on_host(shown, host)
        try:
            place = self._predict(port, host)
        except CannotBind as error:
            raise PortBindingError(error.summary, error.reasons) from error
        first = strategy.active(shown) is None
        status = BindingStatus.ACTIVE if first else BindingStatus.INACTIVE
        return Binding(
            port_id=port_id,
            host=host,
            status=present.status if present else status,
            vif_type=place.vif_type,
            vif_details=dict(place.vif_details),
            vnic_type=port.get("binding:vnic_type", "normal"),
            profile=dict(present.profile) if present else {},
        )

    def previews(self, device_id: str, host: str) -> dict[str, Binding | CannotBind]:
        """How each of a server's ports would probably be bound on `host`, or why it can't be."""
        found: dict[str, Binding | CannotBind] = {}
        for port in self._ports_of(device_id):
            try:
                found[port["id"]] = self.preview(port["id"], host)
            except CannotBind as error:
                found[port["id"]] = error
        return found

    def bind(self, port_id: str, host: str, *, migration_id: str | None = None) -> Binding:
        """Bind the port on `host`, ahead of a migration or for the first time."""
        return self._strategy.bind(self._port(port_id), host, migration_id)

    def bind_ahead(self, device_id: str, host: str, migration_id: str) -> list[Binding]:
        """Bind all ports of a server on `host` for a migration, one by one: Neutron has no request for several."""
        return [self._bind_ahead(port, host, migration_id) for port in self._ports_of(device_id)]

    def _bind_ahead(self, port: Json, host: str, migration_id: str) -> Binding:
        present = strategy.on_host(self._strategy.bindings(port), host)
        if present and (present.status is BindingStatus.ACTIVE or present.migration_id == migration_id):
            return present
        return self._strategy.bind(port, host, migration_id)

    def switch(self, device_id: str, host: str) -> list[Binding]:
        """Make the bindings on `host` of all ports of a server ACTIVE; if one fails, none is."""
        return self._strategy.switch(self._ports_of(device_id), host)

    def wirings(
        self, device_id: str, host: str, driver: str
    ) -> list[tuple[Port, Wiring, Wiring | CannotBind]]:
        """Raises Conflict: Neutron binds a port anew on its host only by taking its binding away before."""
        raise Conflict(
            f"The bindings are kept by the Neutron of {self.cloud}, which binds no port anew where its VM runs;"
            f" migrate server {device_id} from {host} to a host that has the backend {driver}."
        )

    def rewire(
        self, device_id: str, host: str, changes: Sequence[RewiredPort], within: Callable[[Session], None]
    ) -> None:
        """Raises Conflict, as `wirings`."""
        self.wirings(device_id, host, changes[0].after.driver or "")

    def unbind_all(self, device_id: str, host: str) -> None:
        """Remove the bindings on `host`, one after the other."""
        for port in self._ports_of(device_id):
            self._strategy.unbind(port, host, even_active=False)

    def unbind(self, port_id: str, host: str, *, even_active: bool = False) -> None:
        """Remove the binding on `host`."""
        self._strategy.unbind(self._port(port_id), host, even_active=even_active)

    def create_port(
        self,
        network_id: str,
        *,
        device_id: str,
        device_owner: str = "compute:kedge",
        mac_address: str | None = None,
        fixed_ips: Sequence[str] | None = None,
        name: str = "",
    ) -> Port:
        """Make a port; its addresses must lie in the network's subnets."""
        wanted: dict[str, Any] = {
            "network_id": network_id,
            "device_id": device_id,
            "device_owner": device_owner,
            "name": name,
        }
        if mac_address is not None:
            wanted["mac_address"] = mac_address
        if fixed_ips is not None:
            wanted["fixed_ips"] = [{"ip_address": address} for address in fixed_ips]
        try:
            return forms.port_of(self._neutron.post("/ports", {"port": wanted})["port"])
        except NotFound as error:
            raise NetworkNotFound(network_id) from error

    def attach_port(self, port_id: str, device_id: str) -> Port:
        """Give a port that is free to a server, or with "" take it back. Raises Conflict if it is another's."""
        port = self._port(port_id)
        if device_id and port["device_id"]:
            raise Conflict(f"Port {port_id} is a NIC of {port['device_id']} already; choose or make another.")
        changes = {"device_id": device_id, "device_owner": "compute:kedge"}
        return forms.port_of(strategy.set_port(self._neutron, port_id, changes))

    def bind_as_found(self, port_id: str, host: str, found: Recognised) -> Binding:
        """Store an ACTIVE binding for a NIC that is attached already, by whatever Neutron itself would have done.

        Neutron can store no binding but its own, so how the NIC really is attached is kept in the port's profile.
        """
        port = self._port(port_id)
        present = strategy.active(self._strategy.bindings(port))
        if present:
            raise PortBindingAlreadyExists(port_id, present.host)
        place = Place(host, found.vif_type, dict(found.vif_details))
        bound = strategy.bind_first(self._neutron, port, host, self._reasons, found=place)
        return self._strategy.bindings(bound)[0]

    def delete_port(self, port_id: str) -> None:
        """Delete a port with all its bindings."""
        try:
            self._neutron.delete(f"/ports/{port_id}")
        except NotFound as error:
            raise PortNotFound(port_id) from error

    @property
    def _strategy(self) -> Strategy:
        """The strategy, chosen when Neutron is first asked for bindings."""
        if self._chosen is None:
            self._chosen = self._choose()
        return self._chosen

    def _choose(self) -> Strategy:
        if self._wanted != "rebind-early":
            if self._neutron.offers(EXTENSION):
                return Parallel(self._neutron, self._reasons, self._predict, self._workers)
            if self._wanted == "parallel":
                raise BadRequest(
                    f"The Neutron of cloud {self.cloud!r} has no extension {EXTENSION}, which the strategy"
                    ' "parallel" needs; set strategy = "rebind-early" or "auto" in [network].'
                )
        return RebindEarly(self._neutron, self._reasons, self._port, self._workers)

    def _port(self, port_id: str) -> Json:
        try:
            found: Json = self._neutron.get(f"/ports/{port_id}")["port"]
        except NotFound as error:
            raise PortNotFound(port_id) from error
        return found

    def _ports_of(self, device_id: str) -> list[Json]:
        return sorted(self._neutron.get("/ports", device_id=device_id)["ports"], key=_made)

    def _predict(self, port: Json, host: str) -> Place:
        wanted = forms.port_of(port)
        vif_type, details = forms.predicted(self._neutron, wanted, self.network(wanted.network_id), host)
        return Place(host, vif_type, details)

    def _reasons(self, port: Json, host: str) -> CannotBind:
        """Why Neutron refused. It names no reason, so this is what Kedge's own mechanism drivers would say."""
        summary = f"Port {port['id']} can't be bound on host {host}"
        try:
            self._predict(port, host)
        except CannotBind as error:
            return PortBindingError(summary, error.reasons)
        except KedgeError as error:
            return PortBindingError(summary, [str(error)])
        return PortBindingError(
            summary, [f"the Neutron of cloud {self.cloud!r} refused and names no reason; its log does"]
        )


def _made(found: Json) -> tuple[str, str]:
    return found.get("created_at") or "", found["id"]
