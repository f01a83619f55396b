CREATE TABLE version (
    model TEXT NOT NULL,
    number BIGINT NOT NULL,
    artifact TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (model, number)
);
CREATE TABLE deployment (
    endpoint TEXT PRIMARY KEY,
    record TEXT NOT NULL
);
CREATE TABLE event (
    sequence BIGINT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    subject TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX event_subject ON event (subject, sequence);
CREATE TABLE receiver (
    name TEXT PRIMARY KEY,
    sequence BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    error TEXT
);
CREATE TABLE dead (
    receiver TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    died_ms BIGINT NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (receiver, sequence)
);
CREATE TABLE step (
    pipeline TEXT NOT NULL,
    run BIGINT NOT NULL,
    position BIGINT NOT NULL,
    name TEXT NOT NULL,
    inputs TEXT NOT NULL,
    state TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (pipeline, run, position)
);
CREATE INDEX step_inputs ON step (pipeline, name, inputs);
