"""The documentation as a site, by MkDocs."""
