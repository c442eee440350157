"""How much a project may have, and has."""

from collections import Counter
from collections.abc import Iterable, Mapping

from sqlalchemy import delete, func, select

from kedge.model.network_rules import UNLIMITED
from kedge.store import lock_name
from kedge.store.tables import NetworkRow, PortRow, QuotaRow, SubnetRow

from ..errors import OverQuota, TenantQuotaNotFound
from .work import Work

_ROWS: Mapping[str, type[NetworkRow | SubnetRow | PortRow]] = {
    "network": NetworkRow,
    "subnet": SubnetRow,
    "port": PortRow,
}


def limits(work: Work, project_id: str) -> dict[str, int]:
    """How many networks, subnets and ports a project may have; -1 is no limit."""
    query = select(QuotaRow.resource, QuotaRow.limit).where(QuotaRow.project_id == project_id)
    return {**work.rules.quotas, **dict(work.session.execute(query).all())}


def counts(work: Work, project_id: str) -> dict[str, int]:
    """How many networks, subnets and ports a project has."""
    return {resource: _count(work, resource, project_id) for resource in _ROWS}


def all_limits(work: Work) -> dict[str, dict[str, int]]:
    """The limits of each project that has some of its own, by its id."""
    query = select(QuotaRow.project_id).distinct().order_by(QuotaRow.project_id)
    return {project_id: limits(work, project_id) for project_id in work.session.scalars(query)}


def set_limits(work: Work, project_id: str, wanted: Mapping[str, int]) -> None:
    """Set some of a project's limits. What it has beyond one stays."""
    for resource, limit in wanted.items():
        work.session.merge(QuotaRow(project_id=project_id, resource=resource, limit=limit))
    work.session.flush()


def forget_limits(work: Work, project_id: str) -> None:
    """Let the defaults be a project's limits. Raises TenantQuotaNotFound if they are."""
    own = list(work.session.scalars(select(QuotaRow).where(QuotaRow.project_id == project_id)))
    if not own:
        raise TenantQuotaNotFound(project_id)
    work.session.execute(delete(QuotaRow).where(QuotaRow.project_id == project_id))


def refuse_beyond(work: Work, resource: str, owners: Iterable[str]) -> None:
    """Raise OverQuota if one of these projects, once for each thing that is to be made, would have more than it may.

    Others who make some for a project with a limit wait for the end of the transaction. What belongs to no project
    has no limit.
    """
    for project_id, more in sorted(Counter(owners).items()):
        limit = limits(work, project_id)[resource] if project_id else UNLIMITED
        if limit == UNLIMITED:
            continue
        lock_name(work.session, f"quota {resource} {project_id}")
        if _count(work, resource, project_id) + more > limit:
            raise OverQuota(resource, project_id, limit)


def _count(work: Work, resource: str, project_id: str) -> int:
    row = _ROWS[resource]
    return work.session.scalar(select(func.count()).select_from(row).where(row.project_id == project_id)) or 0
