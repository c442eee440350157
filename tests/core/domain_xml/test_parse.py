import pytest

from kedge.core.domain_xml import attachments, guest_visible_differences, parse, rewrite, unified_diff
from kedge.core.domain_xml.parse import MAX_BYTES, serialise
from kedge.model.errors import BadRequest

BOMB = """<!DOCTYPE domain [
<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">
]><domain><name>&c;</name></domain>"""

FILE_ENTITY = '<!DOCTYPE domain [<!ENTITY f SYSTEM "file:///etc/hostname">]><domain><name>&f;</name></domain>'


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        (BOMB, "DOCTYPE"),
        (FILE_ENTITY, "DOCTYPE"),
        ("<!DOCTYPE domain SYSTEM 'http://192.0.2.1/domain.dtd'><domain/>", "DOCTYPE"),
        ("<?xml version='1.0'?>\n<!-- c --> <?pi?>\n<!DOCTYPE domain><domain/>", "DOCTYPE"),
        ("\ufeff<!DOCTYPE domain><domain/>", "DOCTYPE"),
        ("<domain><name>&unknown;</name></domain>", "'unknown' not defined"),
        ("<domain><name a='&unknown;'/></domain>", "'unknown' not defined"),
        ("<domain><name></domain>", "not well-formed"),
        ("", "not well-formed"),
        ("no XML at all", "not well-formed"),
        ("<domain><name>\x00</name></domain>", "not well-formed"),
        ("<domain/><domain/>", "not well-formed"),
        ("<a>" * 1000 + "</a>" * 1000, "not well-formed"),
        ("<!-- never closed", "not well-formed"),
        ("<network/>", "<network>"),
        ("<domain xmlns='http://example.org'/>", "<domain> was expected"),
        ("<domain>\ud800</domain>", "not text"),
        (f"<domain><description>{'x' * MAX_BYTES}</description></domain>", "takes no more than"),
        (f"<domain><description>{'€' * (MAX_BYTES // 3)}</description></domain>", "takes no more than"),
    ],
)
def test_a_bad_document_is_refused_and_the_reason_is_said(xml: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        parse(xml)


def test_every_function_that_takes_a_document_refuses_a_bomb() -> None:
    for call in (
        lambda: rewrite(BOMB, []),
        lambda: attachments(BOMB),
        lambda: guest_visible_differences(BOMB, "<domain/>"),
        lambda: guest_visible_differences("<domain/>", BOMB),
        lambda: unified_diff("<domain/>", BOMB, "a", "b"),
    ):
        with pytest.raises(BadRequest):
            call()


def test_a_doctype_is_only_one_where_it_counts() -> None:
    xml = (
        "<!-- <!DOCTYPE x> -->\n<domain><!-- <!DOCTYPE y> --><title><![CDATA[<!DOCTYPE z>]]></title></domain>"
    )
    assert serialise(parse(xml)) == xml + "\n"


def test_the_declared_encoding_does_not_matter_for_text() -> None:
    root = parse("<?xml version='1.0' encoding='ISO-8859-1'?><domain><title>Zoë €</title></domain>")
    assert root.findtext("title") == "Zoë €"


@pytest.mark.parametrize(
    "xml",
    [
        "<domain type='kvm' id='3'>\n  <name>it's \"so\"</name>\n</domain>\n",
        "<domain>\n\t<a b='x &gt; y &lt; z &amp; &apos;&quot;'/>\n\n</domain>\n",
        "<domain>\n  <name a='b'>so called</name><x>\n &lt; \"so\"</x>\n</domain>\n",
        '<domain><!-- a="b" --><?pi a="b"?><x><![CDATA[ a="b" <y c="d"> ]]></x> a="b" </domain>\n',
        "<?before?>\n<domain a='&#10;&#9;'/>\n<!--after-->\n",
        "<domain xmlns:q='http://q'><q:x q:y='1'/><z xmlns='http://z'/></domain>\n",
    ],
)
def test_what_libvirt_wrote_comes_out_as_it_was(xml: str) -> None:
    assert serialise(parse(xml)) == xml
    assert serialise(parse(serialise(parse(xml)))) == xml
