-- intctl's tables on PostgreSQL 13 or newer, as of revision 0004.
-- Made by `python -m intctl.schema.ddl`; don't edit. `intctl init` does the same and checks more:
-- this file trusts that a table with the right name is the right table.
-- Safe to run again. Afterwards: intctl init, for the organisation and the keyring.

BEGIN;

-- The portal's, where there is one: made only if absent, never altered.
CREATE TABLE IF NOT EXISTS organizations (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  name VARCHAR(100) NOT NULL,
  slug VARCHAR(100) NOT NULL UNIQUE
);

CREATE TABLE IF NOT EXISTS user_profiles (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid()
);

-- The specification's.
CREATE TABLE IF NOT EXISTS integrations (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  org_id UUID NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
  type VARCHAR(50) NOT NULL, -- email, calendar, hris, sms, …
  provider VARCHAR(50) NOT NULL, -- sendgrid, google, bamboohr, …
  name VARCHAR(100) NOT NULL,
  config JSONB NOT NULL, -- sealed
  status VARCHAR(20) DEFAULT 'inactive', -- active, inactive, error
  last_health_check TIMESTAMPTZ,
  last_sync TIMESTAMPTZ,
  health_check_interval_minutes INTEGER DEFAULT 5,
  error_message TEXT,
  error_count INTEGER DEFAULT 0,
  created_by UUID REFERENCES user_profiles(id),
  created_at TIMESTAMPTZ DEFAULT now(),
  updated_at TIMESTAMPTZ DEFAULT now()
);

CREATE TABLE IF NOT EXISTS oauth_tokens (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  integration_id UUID NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  user_id UUID REFERENCES user_profiles(id),
  access_token TEXT NOT NULL, -- sealed
  refresh_token TEXT, -- sealed
  token_type VARCHAR(20) DEFAULT 'Bearer',
  expires_at TIMESTAMPTZ,
  scope TEXT,
  created_at TIMESTAMPTZ DEFAULT now(),
  updated_at TIMESTAMPTZ DEFAULT now()
);

CREATE TABLE IF NOT EXISTS webhooks (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  org_id UUID NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
  name VARCHAR(100) NOT NULL,
  url TEXT NOT NULL,
  secret VARCHAR(64),
  events TEXT[] NOT NULL,
  status VARCHAR(20) DEFAULT 'active',
  created_by UUID REFERENCES user_profiles(id),
  created_at TIMESTAMPTZ DEFAULT now(),
  updated_at TIMESTAMPTZ DEFAULT now()
);

CREATE TABLE IF NOT EXISTS webhook_deliveries (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  webhook_id UUID NOT NULL REFERENCES webhooks(id) ON DELETE CASCADE,
  event_type VARCHAR(50) NOT NULL,
  payload JSONB NOT NULL,
  request_headers JSONB,
  response_status INTEGER,
  response_body TEXT,
  duration_ms INTEGER,
  attempt_number INTEGER DEFAULT 1,
  delivered_at TIMESTAMPTZ DEFAULT now(),
  next_retry_at TIMESTAMPTZ,
  status VARCHAR(20) DEFAULT 'pending' -- pending, success, failed, dlq
);

CREATE TABLE IF NOT EXISTS integration_retry_config (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  org_id UUID NOT NULL UNIQUE REFERENCES organizations(id) ON DELETE CASCADE,
  max_retries INTEGER DEFAULT 3,
  retry_strategy VARCHAR(20) DEFAULT 'exponential', -- exponential, linear, fixed
  fixed_delay_seconds INTEGER DEFAULT 5,
  max_delay_seconds INTEGER DEFAULT 60,
  enable_jitter BOOLEAN DEFAULT true,
  enable_dlq BOOLEAN DEFAULT true,
  created_at TIMESTAMPTZ DEFAULT now(),
  updated_at TIMESTAMPTZ DEFAULT now()
);

CREATE TABLE IF NOT EXISTS integration_health_logs (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  integration_id UUID NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  check_type VARCHAR(20) NOT NULL, -- manual, scheduled, auto
  status VARCHAR(20) NOT NULL, -- success, failure, unknown
  response_time_ms INTEGER,
  error_message TEXT,
  metadata JSONB, -- verdict, code, phase, milliseconds by phase, facts, agent
  checked_at TIMESTAMPTZ DEFAULT now()
);

-- What intctl adds. Separate, so that a portal's tables get it too.
ALTER TABLE integrations ADD COLUMN IF NOT EXISTS deleted_at TIMESTAMPTZ; -- when it was deleted; its name is free again
ALTER TABLE integrations ADD COLUMN IF NOT EXISTS config_version INTEGER NOT NULL DEFAULT 1; -- rises with each change of config
ALTER TABLE integrations ADD COLUMN IF NOT EXISTS last_sync_error TEXT; -- why the last sync failed; NULL after a good one
ALTER TABLE integration_health_logs ADD COLUMN IF NOT EXISTS lease_token BIGINT; -- the lease it ran under: at most one row for each
ALTER TABLE integrations SET (fillfactor = 85);

CREATE TABLE IF NOT EXISTS integration_schedules (
  integration_id UUID PRIMARY KEY REFERENCES integrations(id) ON DELETE CASCADE,
  next_check_at TIMESTAMPTZ, -- NULL: never due
  lease_owner TEXT,
  lease_token BIGINT NOT NULL DEFAULT 0, -- only rises: a stale holder is refused
  lease_expires_at TIMESTAMPTZ,
  attempts INTEGER NOT NULL DEFAULT 0, -- claims without a result
  rejections INTEGER NOT NULL DEFAULT 0, -- refused logins in a row
  CONSTRAINT ck_integration_schedules_lease CHECK ((lease_owner IS NULL) = (lease_expires_at IS NULL))
);

CREATE TABLE IF NOT EXISTS agent_passes (
  id TEXT PRIMARY KEY, -- the host, and the organisation if one
  host TEXT NOT NULL,
  org_id UUID, -- NULL: it serves all
  version TEXT NOT NULL, -- intctl's
  started_at TIMESTAMPTZ,
  finished_at TIMESTAMPTZ, -- the last pass that was completed and recorded
  failed_at TIMESTAMPTZ, -- NULL after a good one
  failure TEXT,
  passes BIGINT NOT NULL DEFAULT 0,
  checks BIGINT NOT NULL DEFAULT 0,
  metadata JSONB -- the last pass in counts; known keys' ids
);

CREATE TABLE IF NOT EXISTS integration_transitions (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  integration_id UUID NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  from_status VARCHAR(20) NOT NULL,
  to_status VARCHAR(20) NOT NULL,
  verdict VARCHAR(20), -- NULL: a person did it
  code TEXT,
  message TEXT,
  changed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  quiet_until TIMESTAMPTZ, -- in maintenance: told when that is over
  lease_owner TEXT, -- who is telling
  lease_token BIGINT NOT NULL DEFAULT 0,
  lease_expires_at TIMESTAMPTZ,
  attempts INTEGER NOT NULL DEFAULT 0, -- how often it was begun
  told_at TIMESTAMPTZ, -- when the command had ended
  exit_code INTEGER -- the command's; NULL: killed at its limit, or not run
);

CREATE TABLE IF NOT EXISTS integration_changes (
  integration_id UUID NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  changed_at TIMESTAMPTZ NOT NULL,
  enabled BOOLEAN NOT NULL, -- neither switched off nor deleted
  interval_minutes INTEGER NOT NULL,
  config_version INTEGER NOT NULL,
  PRIMARY KEY (integration_id, changed_at)
);

CREATE TABLE IF NOT EXISTS integration_health_days (
  integration_id UUID NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  starts_at TIMESTAMPTZ NOT NULL, -- 00:00 UTC
  successes INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  unknowns INTEGER NOT NULL,
  response_ms BIGINT NOT NULL, -- milliseconds of all successes together
  response_times TEXT NOT NULL, -- milliseconds of each success, four hex digits, in order
  timeline TEXT NOT NULL, -- JSON: from, to (ms of the day), up or down, cause
  rows_left TEXT NOT NULL DEFAULT 'all', -- in the logs: all, some, none
  PRIMARY KEY (integration_id, starts_at)
);

CREATE TABLE IF NOT EXISTS maintenance_windows (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  org_id UUID NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
  integration_id UUID REFERENCES integrations(id) ON DELETE CASCADE, -- NULL: all of the organisation
  starts_at TIMESTAMPTZ NOT NULL,
  ends_at TIMESTAMPTZ NOT NULL,
  weekly BOOLEAN NOT NULL DEFAULT false, -- again every week at the same time of day in time_zone
  time_zone TEXT NOT NULL DEFAULT 'UTC',
  stopped_at TIMESTAMPTZ, -- nothing of it counts from then on
  reason TEXT,
  created_at TIMESTAMPTZ DEFAULT now()
);

CREATE TABLE IF NOT EXISTS organization_settings (
  org_id UUID PRIMARY KEY REFERENCES organizations(id) ON DELETE CASCADE,
  retention_days INTEGER NOT NULL DEFAULT 90 -- health logs older than that are folded
);

CREATE TABLE IF NOT EXISTS history_progress (
  id INTEGER PRIMARY KEY,
  folded_before_at TIMESTAMPTZ, -- all days before it are folded
  after_id UUID, -- of the next day, the integrations up to this one
  next_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- Indexes.
CREATE INDEX IF NOT EXISTS idx_integrations_org ON integrations (org_id);
CREATE INDEX IF NOT EXISTS idx_integrations_status ON integrations (status);
CREATE INDEX IF NOT EXISTS idx_integrations_type ON integrations (type);
CREATE UNIQUE INDEX IF NOT EXISTS uq_integrations_org_name ON integrations (org_id, lower(name COLLATE "C")) WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS idx_oauth_tokens_integration ON oauth_tokens (integration_id);
CREATE INDEX IF NOT EXISTS idx_webhooks_org ON webhooks (org_id);
CREATE INDEX IF NOT EXISTS idx_webhook_deliveries_status ON webhook_deliveries (status);
CREATE INDEX IF NOT EXISTS idx_webhook_deliveries_webhook ON webhook_deliveries (webhook_id);
CREATE INDEX IF NOT EXISTS idx_integration_health_logs_checked ON integration_health_logs (checked_at);
CREATE INDEX IF NOT EXISTS idx_integration_health_logs_history ON integration_health_logs (integration_id, checked_at DESC) INCLUDE (status, response_time_ms);
CREATE INDEX IF NOT EXISTS idx_integration_health_logs_integration ON integration_health_logs (integration_id);
CREATE UNIQUE INDEX IF NOT EXISTS uq_integration_health_logs_lease ON integration_health_logs (integration_id, lease_token) WHERE lease_token IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_integration_schedules_due ON integration_schedules (next_check_at);
CREATE INDEX IF NOT EXISTS idx_integration_transitions_changed ON integration_transitions (changed_at);
CREATE INDEX IF NOT EXISTS idx_integration_transitions_integration ON integration_transitions (integration_id, changed_at);
CREATE INDEX IF NOT EXISTS idx_integration_health_days_left ON integration_health_days (starts_at, integration_id) WHERE rows_left != 'none';
CREATE INDEX IF NOT EXISTS idx_maintenance_windows_org ON maintenance_windows (org_id);

-- Alembic's version table, so that intctl knows what it finds. A newer version stays.
CREATE TABLE IF NOT EXISTS intctl_alembic_version (
  version_num VARCHAR(32) NOT NULL,
  CONSTRAINT intctl_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO intctl_alembic_version (version_num)
SELECT '0004' WHERE NOT EXISTS (SELECT FROM intctl_alembic_version);
UPDATE intctl_alembic_version SET version_num = '0004' WHERE version_num < '0004';

COMMIT;
