"""The dashboard: pages for people, rendered here, that call what the API calls. No SQL, no rules."""
