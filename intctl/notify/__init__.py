"""Who is told: a command at each transition, a ping at each pass."""
