CREATE TABLE api_key (
    id TEXT PRIMARY KEY,
    client TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE TABLE prediction (
    id TEXT PRIMARY KEY,
    client TEXT NOT NULL,
    external_id TEXT,
    at_ms BIGINT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX prediction_external_id ON prediction (client, external_id);
CREATE INDEX prediction_at ON prediction (at_ms);
CREATE TABLE feedback (
    id TEXT PRIMARY KEY,
    client TEXT NOT NULL,
    prediction TEXT,
    external_id TEXT,
    at_ms BIGINT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX feedback_external_id ON feedback (client, external_id);
CREATE INDEX feedback_prediction ON feedback (prediction);
CREATE INDEX feedback_at ON feedback (at_ms);
CREATE TABLE idempotency (
    client TEXT NOT NULL,
    name TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    answer TEXT,
    PRIMARY KEY (client, name)
);
CREATE INDEX idempotency_at ON idempotency (at_ms);
