"""What Kedge must remember of a binding that Neutron would forget, kept in that binding's own profile.

It is one key, `kedge`, so that everybody who looks at the port sees it, any conductor finds it after a crash,
and it goes when the binding goes. After a migration it stays in the profile of what is then the ACTIVE binding
until the next one: to change an ACTIVE binding's profile makes Neutron bind anew and the port DOWN for a while.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from kedge.model.network import Binding, VifType

from ..local.bindings import HOST_PROFILE_KEYS, KEPT_PROFILE_KEY

KEY = KEPT_PROFILE_KEY
MIGRATING_TO = "migrating_to"  # Nova's and Neutron's own key


@dataclass(frozen=True)
class Place:
    """How the port was attached on a host."""

    host: str
    vif_type: VifType
    vif_details: Mapping[str, Any]

    @classmethod
    def of(cls, binding: Binding) -> Self:
        """Where and how a binding attaches its port."""
        return cls(binding.host, binding.vif_type, dict(binding.vif_details))

    def to_json(self) -> dict[str, Any]:
        """As a part of a profile."""
        return {"host": self.host, "vif_type": self.vif_type.value, "vif_details": dict(self.vif_details)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """From a part of a profile."""
        return cls(found["host"], VifType(found["vif_type"]), dict(found["vif_details"]))


@dataclass(frozen=True)
class Note:
    """A binding's note.

    Attributes:
        migration_id: the migration that made the binding.
        turn: larger by one than that of the binding which was the ACTIVE one when this was written; it tells a
            binding that was made ahead from one that the VM has left.
        former: the binding on the other host: what Neutron wipes at the switch (parallel), or no longer has
            (rebind-early), and Kedge needs in order to unplug or to go back.
        active: rebind-early: the host whose binding counts as the ACTIVE one.
        found: for a server that was adopted: how its NIC is attached, whatever Neutron says.
    """

    migration_id: str | None = None
    turn: int = 0
    former: Place | None = None
    active: str | None = None
    found: Place | None = None

    @classmethod
    def in_profile(cls, profile: Mapping[str, Any]) -> Self:
        """The note in a profile. One that can't be read, as somebody else wrote it, counts as none."""
        kept = profile.get(KEY)
        try:
            return cls._read(kept) if isinstance(kept, Mapping) else cls()
        except (KeyError, TypeError, ValueError):
            return cls()

    @classmethod
    def _read(cls, kept: Mapping[str, Any]) -> Self:
        places = {name: Place.from_json(kept[name]) for name in ("former", "found") if kept.get(name)}
        return cls(kept.get("migration_id"), int(kept.get("turn", 0)), active=kept.get("active"), **places)

    def into(self, profile: Mapping[str, Any]) -> dict[str, Any]:
        """The profile with this note instead of any that was in it."""
        kept = {
            "migration_id": self.migration_id,
            "turn": self.turn,
            "former": self.former.to_json() if self.former else None,
            "active": self.active,
            "found": self.found.to_json() if self.found else None,
        }
        return {
            **without_note(profile),
            KEY: {name: value for name, value in kept.items() if value is not None},
        }

    def seen_by(self, profile: Mapping[str, Any], binding: Binding) -> Binding:
        """A binding without what is Kedge's own business in its profile, as it was found if it was adopted."""
        shown = replace(binding, profile=without_note(profile))
        if self.found and self.found.host == binding.host:
            return replace(shown, vif_type=self.found.vif_type, vif_details=dict(self.found.vif_details))
        return shown


def without_note(profile: Mapping[str, Any]) -> dict[str, Any]:
    """The profile as others know it."""
    return {key: value for key, value in profile.items() if key != KEY}


def carried(profile: Mapping[str, Any]) -> dict[str, Any]:
    """What a binding on another host gets of a profile: all but what is true on one host only."""
    return {key: value for key, value in without_note(profile).items() if key not in HOST_PROFILE_KEYS}
