-- +goose Up
SET LOCAL statement_timeout = 0;

-- Nodes that cache sessions listen for what was changed that they may hold
-- (adapters/ottercache). They are told the id of a user and never the key of a
-- session: whoever may connect to the database may listen too. Of one transaction
-- the same is told once.
--
-- All who notify commit one after the other, so nobody does where nobody listens:
-- who listens holds a lock, shared, that is tried here for a moment.
-- +goose StatementBegin
CREATE FUNCTION session_cache_tell() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    listening CONSTANT bigint := 7449363237455356776; -- "gatecach"
    what text := 'p';
BEGIN
    IF pg_try_advisory_lock(listening) THEN
        PERFORM pg_advisory_unlock(listening);
        RETURN NULL;
    END IF;
    IF TG_TABLE_NAME = 'users' THEN
        what := 'u' || OLD.id;
    ELSIF TG_TABLE_NAME = 'user_sessions' THEN
        what := 'u' || OLD.user_id;
    END IF;
    PERFORM pg_notify('gatehouse_sessions', what);
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- A session that is renewed is the same one. One that has run out is over on every
-- node by its clocks, so that pruning tells nobody.
CREATE TRIGGER session_cache_rotated AFTER UPDATE ON user_sessions FOR EACH ROW
    WHEN (OLD.k <> NEW.k OR OLD.user_id <> NEW.user_id) EXECUTE FUNCTION session_cache_tell();
CREATE TRIGGER session_cache_ended AFTER DELETE ON user_sessions FOR EACH ROW
    WHEN (OLD.idle_end > extract(epoch FROM clock_timestamp()) * 1000000) EXECUTE FUNCTION session_cache_tell();
CREATE TRIGGER session_cache_changed AFTER UPDATE ON users FOR EACH ROW
    WHEN ((OLD.email, OLD.name, OLD.roles, OLD.status, OLD.email_verified, OLD.password_hash, OLD.session_epoch, OLD.updated_at)
        IS DISTINCT FROM (NEW.email, NEW.name, NEW.roles, NEW.status, NEW.email_verified, NEW.password_hash, NEW.session_epoch, NEW.updated_at))
    EXECUTE FUNCTION session_cache_tell();
CREATE TRIGGER session_cache_deleted AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION session_cache_tell();
CREATE TRIGGER session_cache_policy AFTER UPDATE ON policy_state FOR EACH ROW
    WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION session_cache_tell();

-- +goose Down
DROP TRIGGER session_cache_policy ON policy_state;
DROP TRIGGER session_cache_deleted ON users;
DROP TRIGGER session_cache_changed ON users;
DROP TRIGGER session_cache_ended ON user_sessions;
DROP TRIGGER session_cache_rotated ON user_sessions;
DROP FUNCTION session_cache_tell();
