"""Every check by its name: the modules that hold checks, in one place."""

from auditor.policy import check, checks, path_checks, request_checks, tls_checks

MODULES = (checks, path_checks, request_checks, tls_checks)
CHECKS = check.CHECKS
