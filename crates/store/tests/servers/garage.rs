//! Garage, an S3 server, on loopback with one bucket and one key.
//!
//! It is built from its sources once and kept in the user's cache: a tool of these tests, never a dependency.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A node of its own in a temporary directory; stopped when dropped.
pub struct Garage {
    _folder: tempfile::TempDir,
    child: Child,
    /// Where it answers.
    pub url: String,
    /// A key that may read and write the bucket `models`.
    pub key: String,
    /// Its secret.
    pub secret: String,
}

/// The server, built where it is missing.
fn program() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    let root = home.join(".cache/poststelle-test/garage-2.5.0");
    let program = root.join("bin/garage");
    if !program.exists() {
        let built = Command::new("cargo")
            .args([
                "install",
                "garage",
                "--version",
                "2.5.0",
                "--locked",
                "--no-default-features",
            ])
            .args(["--features", "bundled-libs,sqlite", "--root"])
            .arg(&root)
            .env_remove("CARGO_TARGET_DIR")
            // Its speed is nobody's matter here, its compiler's is.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256")
            .output()
            .unwrap();
        assert!(
            built.status.success(),
            "cargo install garage: {}",
            String::from_utf8_lossy(&built.stderr)
        );
    }
    program
}

fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

impl Garage {
    /// Starts one.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let (s3, rpc, admin) = (port(), port(), port());
        let secret = format!("{:064x}", u128::from(s3) << 64 | u128::from(rpc));
        let config = format!(
            "metadata_dir = \"{0}/meta\"\ndata_dir = \"{0}/data\"\ndb_engine = \"sqlite\"\nreplication_factor = 1\n\
             rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = \"{secret}\"\n\
             [s3_api]\ns3_region = \"garage\"\napi_bind_addr = \"127.0.0.1:{s3}\"\n\
             [admin]\napi_bind_addr = \"127.0.0.1:{admin}\"\n",
            path.display()
        );
        let file = path.join("garage.toml");
        std::fs::write(&file, config).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let program = program();
        let child = Command::new(&program)
            .arg("-c")
            .arg(&file)
            .arg("server")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let node = wait(|| garage(&program, &file, &["node", "id", "-q"]));
        let node = node.split('@').next().unwrap_or_default().trim().to_owned();
        wait(|| garage(&program, &file, &["status"]));
        wait(|| {
            garage(
                &program,
                &file,
                &["layout", "assign", "-z", "dc1", "-c", "1G", &node],
            )
        });
        wait(|| garage(&program, &file, &["layout", "apply", "--version", "1"]));
        wait(|| garage(&program, &file, &["bucket", "create", "models"]));
        let about = wait(|| garage(&program, &file, &["key", "create", "app"]));
        let field = |name: &str| {
            let line = about.lines().find_map(|line| line.trim().strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {about}"))
                .trim()
                .to_owned()
        };
        let (key, secret) = (field("Key ID:"), field("Secret key:"));
        wait(|| {
            garage(
                &program,
                &file,
                &[
                    "bucket", "allow", "--read", "--write", "--owner", "models", "--key", "app",
                ],
            )
        });
        Self {
            child,
            url: format!("http://127.0.0.1:{s3}"),
            key,
            secret,
            _folder: folder,
        }
    }
}

fn garage(program: &Path, file: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .arg("-c")
        .arg(file)
        .args(args)
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn wait(ask: impl Fn() -> Option<String>) -> String {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "garage does not come up"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
