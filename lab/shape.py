"""Which hosts there are, their addresses and roles."""
import dataclasses
import json

NET = "192.168.1"
VIP = f"{NET}.200"


@dataclasses.dataclass(frozen=True)
class Host:
    name: str  # last number of the address, or "client"
    ip: str
    role: str  # tracker, storage, gateway, client
    group: int = 0  # of a storage, from 1


@dataclasses.dataclass(frozen=True)
class Shape:
    """The article's: two groups of two members, two trackers, one store path."""

    groups: int = 2
    members: int = 2
    trackers: int = 2
    paths: int = 1

    def is_reference(self):
        return self == Shape()

    def hosts(self):
        """Storages from .205 on in the article's shape, else from .11; trackers .209 and .210; gateways .211 and .212."""
        storages = self.groups * self.members
        first = 205 if storages <= 4 else 11
        found = [
            Host(str(first + n), f"{NET}.{first + n}", "storage", n // self.members + 1) for n in range(storages)
        ]
        first = 209 if self.trackers <= 2 else 101
        found += [Host(str(first + n), f"{NET}.{first + n}", "tracker") for n in range(self.trackers)]
        found += [Host(str(n), f"{NET}.{n}", "gateway") for n in (211, 212)]
        return found + [Host("client", f"{NET}.220", "client")]

    def of(self, role):
        return [host for host in self.hosts() if host.role == role]

    def group(self, number):
        return [host for host in self.of("storage") if host.group == number]

    def text(self):
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def read(cls, text):
        return cls(**json.loads(text))
