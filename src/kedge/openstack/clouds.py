"""Services of an OpenStack that is there already, by the name of a cloud in clouds.yaml."""

import warnings
from typing import Any, Protocol

from kedge.model.errors import BadRequest
from kedge.trust.tls import hardened


class Service(Protocol):
    """keystoneauth's adapter of one service, as far as Kedge uses it; it logs in and again when need be."""

    def get(self, url: str, **kwargs: Any) -> Any:
        """GET, below the service's endpoint."""
        ...

    def post(self, url: str, **kwargs: Any) -> Any:
        """POST, below the service's endpoint."""
        ...


def service(cloud: str, service_type: str, version: str | None = None) -> tuple[Service, str]:
    """A service of a cloud, called with the credentials there, and the URL where they are checked.

    Raises BadRequest if clouds.yaml has no such cloud or OpenStack's libraries are not here.
    """
    try:
        from keystoneauth1.adapter import Adapter  # noqa: PLC0415 - not everybody has an OpenStack
        from openstack.config import OpenStackConfig  # noqa: PLC0415
        from openstack.exceptions import ConfigException  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise BadRequest(
            f"Cloud {cloud!r} needs the Python module {error.name}, which is not here; install kedge[openstack]."
        ) from None
    try:
        with warnings.catch_warnings():
            # The SDK warns of its own future each time that it is used.
            warnings.simplefilter("ignore")
            region = OpenStackConfig().get_one(cloud=cloud)
            session = region.get_session()
            _harden(session)
    except ConfigException as error:
        raise BadRequest(f"Cloud {cloud!r} can't be used: {error}") from error
    adapter = Adapter(
        session,
        service_type=service_type,
        interface=region.get_interface(service_type),
        region_name=region.get_region_name(service_type),
        endpoint_override=region.get_endpoint(service_type),
        version=version,
    )
    return adapter, str(region.get_auth_args().get("auth_url", ""))


def _harden(session: Any) -> None:
    from keystoneauth1.session import TCPKeepAliveAdapter  # noqa: PLC0415 - as above
    from urllib3.util import create_urllib3_context  # noqa: PLC0415

    class Hardened(TCPKeepAliveAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            # The session sets by itself whom it trusts, which may be another authority, or everybody.
            context = hardened(create_urllib3_context())
            context.check_hostname = False  # which urllib3 does, unless `verify` in clouds.yaml is false
            super().init_poolmanager(*args, ssl_context=context, **kwargs)

    session.session.mount("https://", Hardened())
