"""Reading a domain XML that came from outside, and writing it the way libvirt does.

The text may come from a user or from a host that is not trusted, so nothing in it may make the parser read
a file, ask the network, or grow a small text into a large one: documents with a DTD are refused, and with
them every entity that XML itself does not define.
"""

import re

from lxml import etree

from kedge.model.errors import BadRequest

#: The longest string that libvirt's own protocol carries (REMOTE_STRING_MAX), in bytes of UTF-8.
MAX_BYTES = 4 * 1024 * 1024

# What may stand before the document type declaration: nothing but white space, comments and instructions.
_PROLOG = re.compile(r"\ufeff?(?:\s++|<\?.*?\?>|<!--.*?-->)*+", re.DOTALL)

# In what lxml writes, "<" and ">" within an attribute's value are escaped, so a tag ends at the first ">".
_MARKUP = re.compile(r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|<[^>]*>", re.DOTALL)
_ATTRIBUTE_VALUE = re.compile(r'="([^"]*)"')

# What has a quotation mark or an apostrophe that is not one around an attribute's value, or may have one.
_OTHER_MARKS = re.compile(r"""<[!?]|'|>[^<"]*+\"""")


def parse(xml: str) -> etree._Element:
    """The root of a domain XML.

    White space, comments, CDATA sections and the order of everything are kept, also around the root.
    Raises BadRequest, saying what is wrong, for a text that is larger than libvirt accepts, has a DOCTYPE or
    entities, is not well-formed, or is not a `<domain>`.
    """
    data = _encoded(xml)
    if xml.startswith("<!DOCTYPE", _prolog_end(xml)):
        raise BadRequest("The domain XML has a DOCTYPE; remove it, as neither a DTD nor entities are read")
    try:
        root = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as error:
        raise BadRequest(f"The domain XML is not well-formed: {error.msg}") from None
    if root.tag != "domain":
        raise BadRequest(f"The XML is not a domain's: its root is <{root.tag}>, and <domain> was expected")
    return root


def serialise(root: etree._Element) -> str:
    """The document as text, with apostrophes around attributes as libvirt writes them.

    What was not changed reads as in `virsh dumpxml` (but for the quotation marks that libvirt keeps in
    `<metadata>`), and a text that went through once comes out the same.
    """
    before = reversed(list(root.itersiblings(preceding=True)))
    nodes = [*before, root, *root.itersiblings()]
    written = "\n".join(etree.tostring(node, encoding="unicode", with_tail=False) for node in nodes)
    if _OTHER_MARKS.search(written) is None:
        return written.replace('"', "'") + "\n"
    return _MARKUP.sub(lambda markup: _with_apostrophes(markup[0]), written) + "\n"


def _encoded(xml: str) -> bytes:
    try:
        data = xml.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(f"The domain XML is not text: {error.reason} at character {error.start}") from None
    if len(data) > MAX_BYTES:
        raise BadRequest(f"The domain XML has {len(data)} bytes; libvirt takes no more than {MAX_BYTES}")
    return data


def _prolog_end(xml: str) -> int:
    prolog = _PROLOG.match(xml)
    return prolog.end() if prolog else 0


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8",  # The text was decoded already: a declared encoding describes it no longer.
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        strip_cdata=False,
        remove_blank_text=False,
        remove_comments=False,
        remove_pis=False,
    )


def _with_apostrophes(markup: str) -> str:
    if markup.startswith(("<!", "<?", "</")):
        return markup
    return _ATTRIBUTE_VALUE.sub(lambda value: "='" + value[1].replace("'", "&apos;") + "'", markup)
