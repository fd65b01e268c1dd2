"""The server processes of the local control plane and their supervisor."""
