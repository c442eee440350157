"""Comparing times that were taken on different hosts."""


class HostClock:
    """How far a host's real-time clock is from ours, from the quickest exchange that was seen.

    The host's `now_ns` lies somewhere between our sending and our receiving (Cristian's algorithm), so the
    error is at most half of that exchange's duration.
    """

    def __init__(self) -> None:
        self._offset_ns = 0
        self._duration_ns: int | None = None

    def sample(self, sent_ns: int, host_now_ns: int, received_ns: int) -> None:
        """Take note of one exchange; all times in ns."""
        duration = received_ns - sent_ns
        if self._duration_ns is None or duration < self._duration_ns:
            self._duration_ns = duration
            self._offset_ns = host_now_ns - (sent_ns + received_ns) // 2

    def ours(self, host_ns: int) -> int:
        """A time of the host's clock, in ours."""
        return host_ns - self._offset_ns
