"""Secrets and personal data in captured traffic: found, replaced, and the case still consistent."""
