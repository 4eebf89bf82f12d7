"""What the auditor is measured by."""
