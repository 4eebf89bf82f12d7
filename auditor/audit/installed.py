"""What is installed on this machine, what is missing, and what it is for."""

import importlib.metadata
import platform
import sys
from dataclasses import dataclass

LIBRARIES = {
    "numpy": "arrays",
    "numba": "the kernels",
    "pyarrow": "tables and Parquet",
    "pandas": "tables in Python and Jupyter",
    "pydantic": "policy and topology files",
    "typer": "the command line",
    "rich": "terminal tables",
    "zstandard": "captures packed with zstd",
    "lz4": "captures packed with lz4",
    "scapy": "drill-down into packets; live capture where neither dumpcap nor tcpdump is installed",
    "pyshark": "requests inside TLS, with keys; drill-down with tshark",
    "cryptography": "certificates",
    "pylsqpack": "requests of HTTP/3 (extra http3)",
    "rfc3161-client": "time stamps of results (extra timestamp)",
    "distributed": "audits on a Dask cluster (extra cluster)",
    "boto3": "audit topology fetch (extra aws)",
    "s3fs": "captures and results in S3 (extra s3)",
    "gcsfs": "those in Google Cloud Storage (extra gcs)",
    "adlfs": "those in Azure Blob Storage (extra azure)",
    "aiohttp": "captures on web servers (extra http)",
}
PROGRAMS = {
    "dumpcap": "live capture, the best way (package tshark or wireshark-common)",
    "tcpdump": "live capture without dumpcap",
    "tshark": "requests inside TLS, with keys; drill-down with pyshark",
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """A library or a program: its version, or why it is not used although it is there; neither where it is missing."""

    name: str
    use: str
    version: str | None = None
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The auditor on this machine."""

    versions: str
    libraries: list[Part]
    programs: list[Part]
    is_compiled: bool
    kept: str  # where the compiled kernels are kept, or why they are not
    ranges: str


def _library(name: str, use: str) -> Part:
    try:
        return Part(name=name, use=use, version=importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Part(name=name, use=use)


def _program(name: str, use: str) -> Part:
    from auditor.machine import isolated, programs

    path = programs.find(name)
    if path is None:
        why = programs.refused(name)
        return Part(name=name, use=use, problem=f"refused: {why}" if why else None)
    output = isolated.output_of([path, "--version"])
    if output is None:
        return Part(name=name, use=use, problem="does not run")
    return Part(name=name, use=use, version=output.splitlines()[0][:60] if output else "no version")


def installation() -> Installation:
    """What is there; nothing is changed."""
    from auditor.aws.ranges import Ranges
    from auditor.data import __version__
    from auditor.machine import kernel, objects
    from auditor.reading import following  # noqa: F401 - knows every kernel

    reason = objects.why_not_kept()
    ranges = Ranges.shipped()
    system = f"{platform.system()} {platform.release()} {platform.machine()}"  # platform.platform() would run uname
    return Installation(
        versions=f"auditor {__version__}, Python {sys.version.split()[0]}, {system}",
        libraries=[_library(*one) for one in LIBRARIES.items()],
        programs=[_program(*one) for one in PROGRAMS.items()],
        is_compiled=not kernel.load(),
        kept=f"in {objects.folder()}" if reason is None else f"not kept: {reason}",
        ranges=f"of {ranges.date} (sync token {ranges.token})",
    )
