"""How much a project has."""

from collections.abc import Mapping

from sqlalchemy import func, select

from kedge.store.tables import NetworkRow, PortRow, SubnetRow

from .work import Work

_ROWS: Mapping[str, type[NetworkRow | SubnetRow | PortRow]] = {
    "network": NetworkRow,
    "subnet": SubnetRow,
    "port": PortRow,
}


def counts(work: Work, project_id: str) -> dict[str, int]:
    """The numbers of a project's networks, subnets and ports, by `network`, `subnet` and `port`."""
    return {
        name: work.session.scalar(select(func.count()).select_from(row).where(row.project_id == project_id))
        or 0
        for name, row in _ROWS.items()
    }
