"""Monster."""

from __future__ import annotations

from intctl.providers.base import Field, Unproven


class Monster(Unproven):
    """Monster's job posting: user name and password of the recruiter (third-party sources).

    The sources have only calls that create, change or delete a posting, so intctl sends no request.
    """

    name = "monster"
    title = "Monster"
    type = "job_board"
    fields = (
        Field("username", "User name", required=True),
        Field("password", "Password", secret=True, required=True),
        Field("recruiter", "Recruiter user name of the postings"),
    )
