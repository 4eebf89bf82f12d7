"""Was this traffic private? Audits packet captures of traffic to Amazon Pinpoint and other AWS services.

>>> import auditor
>>> result = auditor.audit("capture.pcap", topology="site.toml")  # doctest: +SKIP
>>> result.flows  # doctest: +SKIP
"""

from auditor.machine import search_path  # noqa: F401 # isort: skip - first: it takes the working directory away
from auditor.audit.catalogue import history, policies, rules
from auditor.audit.cluster import cluster
from auditor.audit.judging import judge
from auditor.audit.live import audit_live
from auditor.audit.start import audit
from auditor.data import __version__
from auditor.errors import AuditError, InputError, PolicyError, TopologyError
from auditor.options import Options
from auditor.report.audit import Audit, load, public_names

__all__ = [
    "Audit",
    "AuditError",
    "InputError",
    "Options",
    "PolicyError",
    "TopologyError",
    "__version__",
    "audit",
    "audit_live",
    "cluster",
    "history",
    "judge",
    "load",
    "policies",
    "rules",
]
__dir__ = public_names(__all__)
