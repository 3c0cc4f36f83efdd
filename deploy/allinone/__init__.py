"""Everything on one machine: all parts as child processes of one supervisor."""
