"""The table of commands: where each is defined, and its one-line help."""

from __future__ import annotations

#: name -> (module, attribute, help line), in the order in which a new user needs them.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("intctl.cli.setup", "init", "Prepare the database, keyring and organisation."),
    "add": ("intctl.cli.change", "add", "Test an integration from a YAML file and add it."),
    "apply": ("intctl.cli.change", "apply", "Create or update integrations to match YAML files."),
    "edit": ("intctl.cli.change", "edit", "Change an integration and test it before saving."),
    "test": ("intctl.cli.probe", "test", "Test a connection without writing anything."),
    "check": ("intctl.cli.probe", "check", "Check integrations now and record the results."),
    "reconnect": ("intctl.cli.probe", "reconnect", "Clear the error state, test and activate."),
    "list": ("intctl.cli.show", "list_", "List the integrations."),
    "show": ("intctl.cli.show", "show", "Show one integration with masked secrets."),
    "dashboard": ("intctl.cli.show", "dashboard", "Show the overview, alerts and all integrations."),
    "stats": ("intctl.cli.show", "stats", "Count integrations by status."),
    "alerts": ("intctl.cli.show", "alerts", "Show failures, their impact and the next steps."),
    "logs": ("intctl.cli.history", "logs", "Show recorded health checks."),
    "metrics": ("intctl.cli.history", "metrics", "Show uptime, response times, error rate and usage."),
    "maintenance": ("intctl.cli.maintenance", "maintenance", "Plan maintenance, excluded from alerts and uptime."),
    "troubleshoot": ("intctl.cli.explain", "troubleshoot", "Diagnose a connection phase by phase."),
    "explain": ("intctl.cli.explain", "explain", "Explain a cause code."),
    "toggle": ("intctl.cli.state", "toggle", "Enable or disable an integration."),
    "interval": ("intctl.cli.state", "interval", "Set how often an integration is checked."),
    "synced": ("intctl.cli.state", "synced", "Record a successful or failed data synchronisation."),
    "delete": ("intctl.cli.state", "delete", "Delete an integration; it can be restored."),
    "restore": ("intctl.cli.state", "restore", "Restore a deleted integration."),
    "providers": ("intctl.cli.providers", "providers", "List providers and write manifest templates."),
    "org": ("intctl.cli.setup", "org", "List, create and configure organisations."),
    "agent": ("intctl.cli.agent", "agent", "Check due integrations once or as a service."),
    "sandbox": ("intctl.cli.sandbox", "sandbox", "Serve simulated providers on loopback."),
}
