"""Names of public keys and signatures by their object identifiers."""

RAW_KEY = (
    "raw public key"  # what stands in the place of an algorithm where a key was shown without a certificate (RFC 7250)
)
NO_CERTIFICATE = "the server's list of certificates is empty"

# Object identifiers of public keys and signatures: RFC 3279, 4055, 5480, 5758, 8410, 8692, 9881, 9909; NIST (SHA-3),
# TeleTrusT (RIPEMD), BSI TR-03111 (plain ECDSA), TC26 (GOST), GM/T 0006.
ALGORITHMS = {
    "1.2.840.113549.1.1.1": "rsaEncryption",
    "1.2.840.113549.1.1.2": "md2WithRSAEncryption",
    "1.2.840.113549.1.1.3": "md4WithRSAEncryption",
    "1.2.840.113549.1.1.4": "md5WithRSAEncryption",
    "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
    "1.2.840.113549.1.1.10": "rsassaPss",
    "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
    "1.2.840.113549.1.1.12": "sha384WithRSAEncryption",
    "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
    "1.2.840.113549.1.1.14": "sha224WithRSAEncryption",
    "1.2.840.113549.1.1.15": "RSA-SHA512/224",
    "1.2.840.113549.1.1.16": "RSA-SHA512/256",
    "1.3.6.1.5.5.7.6.30": "rsassaPss (shake128)",
    "1.3.6.1.5.5.7.6.31": "rsassaPss (shake256)",
    "1.3.6.1.5.5.7.6.32": "ecdsa-with-SHAKE128",
    "1.3.6.1.5.5.7.6.33": "ecdsa-with-SHAKE256",
    "1.3.14.3.2.2": "md4WithRSA",
    "1.3.14.3.2.3": "md5WithRSA",
    "1.3.14.3.2.27": "dsaWithSHA1",
    "1.3.14.3.2.29": "sha1WithRSA",
    "1.3.36.3.3.1.2": "ripemd160WithRSA",
    "1.3.36.3.3.1.3": "ripemd128WithRSA",
    "1.3.36.3.3.1.4": "ripemd256WithRSA",
    "1.3.36.3.3.2.1": "ecdsa-with-SHA1",
    "1.3.36.3.3.2.2": "ecdsa-with-RIPEMD160",
    "0.4.0.127.0.7.1.1.4.1.1": "ecdsa-plain-SHA1",
    "0.4.0.127.0.7.1.1.4.1.2": "ecdsa-plain-SHA224",
    "0.4.0.127.0.7.1.1.4.1.3": "ecdsa-plain-SHA256",
    "0.4.0.127.0.7.1.1.4.1.4": "ecdsa-plain-SHA384",
    "0.4.0.127.0.7.1.1.4.1.5": "ecdsa-plain-SHA512",
    "0.4.0.127.0.7.1.1.4.1.6": "ecdsa-plain-RIPEMD160",
    "1.2.840.10040.4.1": "dsaEncryption",
    "1.2.840.10040.4.3": "dsa-with-SHA1",
    "2.16.840.1.101.3.4.3.1": "dsa-with-SHA224",
    "2.16.840.1.101.3.4.3.2": "dsa-with-SHA256",
    "2.16.840.1.101.3.4.3.3": "dsa-with-SHA384",
    "2.16.840.1.101.3.4.3.4": "dsa-with-SHA512",
    "1.2.840.10045.2.1": "id-ecPublicKey",
    "1.2.840.10045.4.1": "ecdsa-with-SHA1",
    "1.2.840.10045.4.3.1": "ecdsa-with-SHA224",
    "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
    "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
    "1.3.101.110": "X25519",
    "1.3.101.111": "X448",
    "1.3.101.112": "Ed25519",
    "1.3.101.113": "Ed448",
    "2.16.840.1.101.3.4.3.17": "ML-DSA-44",
    "2.16.840.1.101.3.4.3.18": "ML-DSA-65",
    "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
    "1.2.643.2.2.19": "GOST R 34.10-2001",
    "1.2.643.2.2.3": "GOST R 34.11-94 with GOST R 34.10-2001",
    "1.2.643.7.1.1.1.1": "GOST R 34.10-2012 (256 bits)",
    "1.2.643.7.1.1.1.2": "GOST R 34.10-2012 (512 bits)",
    "1.2.643.7.1.1.3.2": "GOST R 34.10-2012 with GOST R 34.11-2012 (256 bits)",
    "1.2.643.7.1.1.3.3": "GOST R 34.10-2012 with GOST R 34.11-2012 (512 bits)",
    "1.2.156.10197.1.501": "SM2-with-SM3",
}
for _begin, _name in ((5, "dsa_with_SHA3"), (9, "ecdsa_with_SHA3"), (13, "RSA-SHA3")):
    ALGORITHMS |= {
        f"2.16.840.1.101.3.4.3.{_begin + n}": f"{_name}-{bits}" for n, bits in enumerate((224, 256, 384, 512))
    }

# Curves of keys (SEC 2 A.2, RFC 5639 4.1, X9.62, GM/T 0006), among them those that ``cryptography`` does not know.
_SEC = {
    **dict(enumerate(["sect163k1", "sect163r1", "sect239k1", "sect113r1", "sect113r2", "secp112r1"], 1)),
    **dict(enumerate(["secp112r2", "secp160r1", "secp160k1", "secp256k1"], 7)),
    **dict(enumerate(["sect163r2", "sect283k1", "sect283r1"], 15)),
    **dict(enumerate(["sect131r1", "sect131r2", "sect193r1", "sect193r2", "sect233k1", "sect233r1"], 22)),
    **dict(enumerate(["secp128r1", "secp128r2", "secp160r2", "secp192k1", "secp224k1", "secp224r1"], 28)),
    **dict(enumerate(["secp384r1", "secp521r1", "sect409k1", "sect409r1", "sect571k1", "sect571r1"], 34)),
}
_PRIME = ("prime192v1", "prime192v2", "prime192v3", "prime239v1", "prime239v2", "prime239v3", "prime256v1")
CURVE_NAMES = {f"1.3.132.0.{n}": name for n, name in _SEC.items()}
CURVE_NAMES |= {f"1.2.840.10045.3.1.{n}": name for n, name in enumerate(_PRIME, 1)}
CURVE_NAMES |= {
    f"1.3.36.3.3.2.8.1.1.{2 * n + (kind == 't') + 1}": f"brainpoolP{bits}{kind}1"
    for n, bits in enumerate((160, 192, 224, 256, 320, 384, 512))
    for kind in "rt"
}
_BINARY = ("c2pnb163v1", "c2pnb163v2", "c2pnb163v3", "c2pnb176v1", "c2tnb191v1", "c2tnb191v2", "c2tnb191v3")
CURVE_NAMES |= {f"1.2.840.10045.3.0.{n}": name for n, name in enumerate(_BINARY, 1)}
CURVE_NAMES["1.2.156.10197.1.301"] = "curveSM2"
