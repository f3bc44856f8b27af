#!/bin/sh
# A rehearsal for CI: provisions every provider from files, then checks them all. Run it with:
#   intctl sandbox run -- sh examples/ci.sh
#   intctl sandbox run --fault sendgrid=smtp.auth.rejected -- sh examples/ci.sh    (exits 1)
# It changes nothing outside a temporary folder. Real providers need only the last two lines.
set -eu
: "${INTCTL_SANDBOX_DIR:?run it with: intctl sandbox run -- sh examples/ci.sh}"

# Not the caller's database, keys or organisation.
unset INTCTL_DATABASE_URL INTCTL_KEYRING_FILE INTCTL_ENCRYPTION_KEY INTCTL_ORG CREDENTIALS_DIRECTORY \
      INTCTL_DENY_NETWORKS INTCTL_ALLOW_NETWORKS
INTCTL_HOME=$(mktemp -d "${TMPDIR:-/tmp}/intctl-ci.XXXXXX")
export INTCTL_HOME
trap 'rm -rf "$INTCTL_HOME"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

intctl init
intctl sandbox manifests "$INTCTL_HOME/manifests"

intctl apply -f "$INTCTL_HOME/manifests"
intctl check --all
