//! A PostgreSQL cluster of one's own, from Debian's packages.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A cluster of its own in a temporary directory, on a free port; stopped when dropped.
pub struct Cluster {
    folder: tempfile::TempDir,
    port: u16,
}

/// Where Debian keeps the server; it is installed where it is missing.
fn programs() -> PathBuf {
    let find = || {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        versions
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .find(|bin| bin.join("initdb").exists())
    };
    find().unwrap_or_else(|| {
        let install = "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d;
            apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql";
        let done = Command::new("sh").args(["-c", install]).stdout(Stdio::null()).status();
        assert!(done.is_ok_and(|status| status.success()), "apt-get install postgresql");
        find().expect("initdb in /usr/lib/postgresql")
    })
}

/// A command of the server, which refuses to run as root.
fn server(program: &str) -> Command {
    let program = programs().join(program);
    if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .any(|line| line.split_whitespace().eq(["Uid:", "0", "0", "0", "0"]))
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Cluster {
    /// Starts one.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::write(path.join("password"), "secret").unwrap();
        run(Command::new("chmod").arg("755").arg(path));
        if is_root() {
            run(Command::new("chown").args(["-R", "postgres"]).arg(path));
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let file = |name: &str| path.join(name).display().to_string();
        run(server("initdb").current_dir(path).args([
            "-D",
            &file("data"),
            "-U",
            "app",
            &format!("--pwfile={}", file("password")),
            "--auth=scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]));
        let options =
            format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off");
        let log = file("log");
        // Its output goes to the log: a server that kept our pipe open would keep us waiting.
        let status = server("pg_ctl")
            .current_dir(path)
            .args([
                "-D",
                &file("data"),
                "-w",
                "-s",
                "-l",
                &log,
                "-o",
                &options,
                "start",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(
            status.unwrap().success(),
            "{}",
            std::fs::read_to_string(&log).unwrap_or_default()
        );
        Self { folder, port }
    }

    /// Address of a database.
    pub fn address(&self, database: &str) -> String {
        format!("postgres://app:secret@127.0.0.1:{}/{database}", self.port)
    }

    /// Address of a new database.
    pub fn make(&self, database: &str) -> String {
        let mut psql = Command::new(programs().join("psql"));
        run(psql
            .arg(self.address("postgres"))
            .args(["-qc", &format!("CREATE DATABASE {database}")]));
        self.address(database)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data: &Path = &self.folder.path().join("data");
        let _ = server("pg_ctl")
            .arg("-D")
            .arg(data)
            .args(["-m", "immediate", "-s", "stop"])
            .status();
    }
}
