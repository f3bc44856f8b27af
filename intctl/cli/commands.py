"""The table of commands: where each is defined, and its one-line help."""

from __future__ import annotations

#: name -> (module, attribute, help line). In the order of a first day with intctl.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("intctl.cli.setup", "init", "Prepare database, keyring and organisation."),
    "add": ("intctl.cli.change", "add", "Add an integration from a YAML file, tested first."),
    "apply": ("intctl.cli.change", "apply", "Make the integrations what YAML files say."),
    "edit": ("intctl.cli.change", "edit", "Change an integration, tested before it is saved."),
    "test": ("intctl.cli.probe", "test", "Test a connection without writing anything."),
    "check": ("intctl.cli.probe", "check", "Check integrations now and record it."),
    "reconnect": ("intctl.cli.probe", "reconnect", "Clear the error state, test and activate."),
    "list": ("intctl.cli.show", "list_", "List the integrations."),
    "show": ("intctl.cli.show", "show", "Show one integration, its secrets masked."),
    "dashboard": ("intctl.cli.show", "dashboard", "Show overview, alerts and all integrations."),
    "stats": ("intctl.cli.show", "stats", "Count total, active, error and disabled."),
    "alerts": ("intctl.cli.show", "alerts", "Show what fails, its impact and what to do."),
    "logs": ("intctl.cli.history", "logs", "Show recorded health checks."),
    "metrics": ("intctl.cli.history", "metrics", "Show uptime, response times, error rate and usage."),
    "maintenance": ("intctl.cli.maintenance", "maintenance", "Plan time in which alerts and uptime don't count."),
    "troubleshoot": ("intctl.cli.explain", "troubleshoot", "Go through an exchange phase by phase."),
    "explain": ("intctl.cli.explain", "explain", "Explain a cause code."),
    "toggle": ("intctl.cli.state", "toggle", "Enable or disable an integration."),
    "interval": ("intctl.cli.state", "interval", "Set how often an integration is checked."),
    "synced": ("intctl.cli.state", "synced", "Report that data was synchronised, or was not."),
    "delete": ("intctl.cli.state", "delete", "Delete an integration; it can be restored."),
    "restore": ("intctl.cli.state", "restore", "Bring a deleted integration back."),
    "providers": ("intctl.cli.providers", "providers", "See what can be integrated; get manifests to fill in."),
    "org": ("intctl.cli.setup", "org", "List, create and set up organisations."),
    "agent": ("intctl.cli.agent", "agent", "Check what is due: once, or as a service."),
    "sandbox": ("intctl.cli.sandbox", "sandbox", "Rehearse against providers served on loopback."),
}
