"""The `managed` path: research in sessions of Claude Managed Agents."""
