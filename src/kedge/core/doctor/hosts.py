"""What is wrong with hosts and their agents, and with the events for Nova."""

from collections import Counter
from collections.abc import Iterator

from .census import Census, HostSeen
from .finding import Finding, Kind, Severity

CLOCK_S = 2.0
"""Clocks apart by more than that are not kept by NTP; measured times of a migration depend on them."""

UNSENT_S = 300.0
"""Nova waits five minutes for a VIF to be plugged (its vif_plugging_timeout)."""


def host_findings(census: Census) -> Iterator[Finding]:
    """What is wrong with hosts."""
    urls = Counter(each.host.url for each in census.hosts if each.host.url)
    for host in census.hosts:
        if host.host.forced_down:
            yield _forced_down(host)
            continue
        if host.host.url and urls[host.host.url] > 1:
            yield _renamed(census, host)
        if not host.host.alive:
            yield _dead(host)
        elif not host.answers:
            yield _silent(host)
        if host.answers:
            yield from _clock(host)
            yield from _version(census, host)
    yield from _libvirt(census)


def _subject(host: HostSeen) -> str:
    return f"host {host.name}"


def _forced_down(host: HostSeen) -> Finding:
    return Finding(
        Kind.HOST_FORCED_DOWN,
        Severity.NOTE,
        _subject(host),
        host.name,
        "An operator said that it is off, so it counts as empty and its agent is not asked;"
        f" once it is back, say so with `kedge hosts up {host.name}`.",
    )


def _dead(host: HostSeen) -> Finding:
    still = " It still answers, so it can't reach the control plane." if host.answers else ""
    return Finding(
        Kind.AGENT_DEAD,
        Severity.ERROR,
        _subject(host),
        host.name,
        f"Its agent has not reported lately.{still} What is on it "
        + ("may be out of date here" if host.answers else "is unknown")
        + f"; start `kedge agent` on {host.name}, or see its log.",
    )


def _silent(host: HostSeen) -> Finding:
    return Finding(
        Kind.AGENT_SILENT,
        Severity.ERROR,
        _subject(host),
        host.name,
        f"Its agent reports, but does not answer questions, so what is on it is unknown: {host.silence}",
    )


def _renamed(census: Census, host: HostSeen) -> Finding:
    others = [each for each in census.hosts if each.host.url == host.host.url and each is not host]
    names = ", ".join(each.name for each in others)
    if not host.host.alive:
        words = (
            f"It seems to have been renamed to {names}. Servers and bindings that are recorded on {host.name} belong"
            f" there; delete the agents of {host.name} once nothing is recorded on it."
        )
    else:
        words = "Give each agent an own_url and a certificate of its own host."
    return Finding(
        Kind.HOST_RENAMED,
        Severity.ERROR,
        _subject(host),
        host.name,
        f"It and {names} have the same agent's URL {host.host.url}. {words}",
    )


def _clock(host: HostSeen) -> Iterator[Finding]:
    ahead = host.clock_ahead_s
    if ahead is None or abs(ahead) - host.clock_error_s <= CLOCK_S:
        return
    yield Finding(
        Kind.CLOCK_DIFFERS,
        Severity.WARNING,
        _subject(host),
        host.name,
        f"Its clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} the control plane's. Certificates"
        " and logs are judged by it; let NTP set it (`chronyc tracking`).",
    )


def _version(census: Census, host: HostSeen) -> Iterator[Finding]:
    if not host.version or not census.version or host.version == census.version:
        return
    yield Finding(
        Kind.VERSION_DIFFERS,
        Severity.WARNING,
        _subject(host),
        host.name,
        f"Its agent is of Kedge {host.version}, the control plane of {census.version}. Update the older one.",
    )


def _libvirt(census: Census) -> Iterator[Finding]:
    """libvirt migrates to the same version or a newer one; to an older one it may refuse."""
    versions = [
        each.host.libvirt_version for each in census.hosts if each.answers and each.host.libvirt_version
    ]
    newest = max(versions, default=0)
    for host in census.hosts:
        own = host.host.libvirt_version
        if host.answers and own and own // 1000 < newest // 1000:
            yield Finding(
                Kind.LIBVIRT_DIFFERS,
                Severity.NOTE,
                _subject(host),
                host.name,
                f"It has libvirt {_dotted(own)} and another host {_dotted(newest)}: a VM may refuse to move from the"
                " newer to the older one. Update it.",
            )


def _dotted(version: int) -> str:
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"


def event_findings(census: Census) -> Iterator[Finding]:
    """Events that Nova did not take."""
    if census.unsent and census.unsent_s > UNSENT_S:
        yield Finding(
            Kind.EVENTS_UNSENT,
            Severity.ERROR,
            "events for Nova",
            "",
            f"Nova has not taken {census.unsent} of them, the oldest for {census.unsent_s / 60:.0f} minutes, so"
            " servers of its may wait for VIFs that are plugged. The control plane's log says why (`events not sent`).",
        )
