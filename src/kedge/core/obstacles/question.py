"""What a kind of obstacle is found from."""

from dataclasses import dataclass

from lxml import etree

from kedge.core.domain_xml.parse import parse
from kedge.model.host_facts import FactsRequest, FileKind, HostFacts

from .paths import paths_of


@dataclass(frozen=True)
class Question:
    """Can this domain move from one host to the other?

    `domain` is the text that migrates. `here` and `there` are the facts of the source and of the destination,
    whose names are for messages.
    """

    domain: etree._Element
    source: str
    destination: str
    here: HostFacts
    there: HostFacts

    def missing_there(self, path: str) -> bool:
        """Whether the destination looked and there is nothing."""
        found = self.there.files.get(path)
        return found is not None and found.kind is FileKind.MISSING


def question(xml: str, source: str, destination: str, here: HostFacts, there: HostFacts) -> Question:
    """The question about a domain's XML. Raises BadRequest."""
    return Question(parse(xml), source, destination, here, there)


def ask_host(xml: str) -> FactsRequest:
    """What both hosts are asked for this domain's sake. Raises BadRequest."""
    domain = parse(xml)
    return FactsRequest(name=(domain.findtext("name") or "").strip(), paths=paths_of(domain))
