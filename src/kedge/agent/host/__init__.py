"""What this host has and can do, besides its domains and VIFs: looked at when a migration is planned."""
