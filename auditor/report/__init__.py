"""Results: tables in a folder, the Audit object, forms, pages."""
