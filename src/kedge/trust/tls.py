"""Which TLS Kedge speaks, as server and as client: 1.3, and of 1.2 only suites that authenticate what they encrypt."""

import ssl

SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2, in OpenSSL's words. No CBC (RFC 9325, section 4.2), and no key exchange without forward secrecy."""


def hardened(context: ssl.SSLContext) -> ssl.SSLContext:
    """The context itself, without what is too old. A higher least version stays. All suites of TLS 1.3 are AEAD."""
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(SUITES)
    # A client could have the server compute as often as it likes (TLS 1.3 has no renegotiation).
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context
