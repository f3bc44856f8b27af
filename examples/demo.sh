#!/bin/sh
# A tour of intctl against providers on loopback. Run it with: make demo
# (that is: intctl sandbox run -- sh examples/demo.sh). It changes nothing outside a temporary folder.
set -eu
: "${INTCTL_SANDBOX_DIR:?run it with: make demo}"
cd "$(dirname "$0")/.."

# Not the caller's database, keys or organisation.
unset INTCTL_DATABASE_URL INTCTL_KEYRING_FILE INTCTL_ENCRYPTION_KEY INTCTL_ORG CREDENTIALS_DIRECTORY \
      INTCTL_DENY_NETWORKS INTCTL_ALLOW_NETWORKS
INTCTL_HOME=$(mktemp -d "${TMPDIR:-/tmp}/intctl-demo.XXXXXX")
export INTCTL_HOME
trap 'rm -rf "$INTCTL_HOME"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

heading() { printf '\n== %s\n' "$1"; }

# Show a command, then run it. Double eval: the --set options in the variables are quoted for the shell.
try() {
    printf '\n$ %s\n' "$1"
    eval "eval \"$1\"" 2>&1
}

heading "Prepare the database and the keyring"
try 'intctl init'

heading "Add integrations: each is tested before it is saved"
# shellcheck disable=SC2016  # the variables are expanded by try, after printing them
{
    try 'intctl add sendgrid -f examples/sendgrid.yaml $INTCTL_SANDBOX_SET_SENDGRID'
    try 'intctl add ses -f examples/ses.yaml $INTCTL_SANDBOX_SET_SES'
    try 'intctl add twilio -f examples/twilio.yaml $INTCTL_SANDBOX_SET_TWILIO'
    try 'intctl add bamboohr -f examples/bamboohr.yaml $INTCTL_SANDBOX_SET_BAMBOOHR'
    try 'intctl add adp -f examples/adp.yaml $INTCTL_SANDBOX_SET_ADP'
    try 'intctl add checkr -f examples/checkr.yaml $INTCTL_SANDBOX_SET_CHECKR'
    try 'intctl add google -f examples/google.yaml $INTCTL_SANDBOX_SET_GOOGLE'
    try 'intctl add microsoft -f examples/microsoft.yaml $INTCTL_SANDBOX_SET_MICROSOFT'
    try 'intctl add indeed -f examples/indeed.yaml $INTCTL_SANDBOX_SET_INDEED'
    try 'intctl add http -f examples/http.yaml $INTCTL_SANDBOX_SET_HTTP'
}

heading "A wrong password: refused, and nothing is saved"
export SMTP_PASSWORD=wrong
# shellcheck disable=SC2016
if try 'intctl add smtp -f examples/smtp.yaml $INTCTL_SANDBOX_SET_SMTP'; then
    echo "demo: a wrong password was accepted" >&2
    exit 1
fi

heading "Save it anyway, without a test"
# shellcheck disable=SC2016
try 'intctl add smtp -f examples/smtp.yaml $INTCTL_SANDBOX_SET_SMTP --no-test'

heading "The agent runs the checks that are due: here, the first check"
try 'intctl agent --once'

heading "The dashboard"
try 'intctl dashboard'

printf '\nDone: the temporary folder is removed. Next: README.md\n'
