//! The image of the Containerfile, built and run with Podman from what is on this machine.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn sh(script: &str, folder: &Path) -> Output {
    Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .env("CONTAINERS_STORAGE_CONF", folder.join("storage.conf"))
        .output()
        .unwrap()
}

fn ok(script: &str, folder: &Path) -> String {
    let output = sh(script, folder);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {talk}");
    String::from_utf8(output.stdout).unwrap()
}

const INSTALL: &str = "command -v podman && command -v buildah && command -v runc && command -v strip || {
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        podman buildah runc netavark binutils
}";

#[test]
fn the_image_is_small_trains_and_serves() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert!(
        sh(INSTALL, root).status.success(),
        "apt-get install podman buildah runc"
    );
    let storage = format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = \"{0}/graph\"\nrunroot = \"{0}/run\"\n",
        root.display()
    );
    std::fs::write(root.join("storage.conf"), storage).unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap();
    let binary = env!("CARGO_BIN_EXE_poststelle");
    let collect = format!(
        "{}/scripts/container.sh {binary} {}/target/container",
        repository.display(),
        root.display()
    );
    ok(&collect, root);
    let build = format!(
        "buildah bud -q --isolation chroot -t local/poststelle:1 -f {}/Containerfile .",
        repository.display()
    );
    ok(&build, root);
    let size = ok(
        "podman image inspect --format '{{.Size}}' local/poststelle:1",
        root,
    );
    let size: u64 = size.trim().parse().unwrap();
    assert!(size < 80_000_000, "{size} bytes");

    let podman = "podman --runtime runc --cgroup-manager=cgroupfs run --rm --network=host --ulimit nofile=1024:1024 --ulimit nproc=4096:4096";
    let train = root.join("ml/input/data/train");
    std::fs::create_dir_all(&train).unwrap();
    std::fs::create_dir_all(root.join("ml/input/config")).unwrap();
    let volume = format!("-v {}/ml:/opt/ml", root.display());
    ok(
        &format!(
            "{podman} {volume} local/poststelle:1 sample --count 300 --seed 3 --out /opt/ml/input/data/train"
        ),
        root,
    );
    let recipe = "[data]\ntrain = ['the channel']\nsplit = { validation = 0.2 }\n[model]\nkind = 'linear'\n";
    std::fs::write(train.join("recipe.toml"), recipe).unwrap();
    ok(&format!("{podman} {volume} local/poststelle:1 train"), root);
    assert!(root.join("ml/model/bundle.toml").exists());

    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let serve = format!(
        "exec {podman} --read-only --name serving {volume} -e SAGEMAKER_BIND_TO_PORT={port} local/poststelle:1 serve"
    );
    let mut child = Command::new("sh")
        .args(["-c", &serve])
        .current_dir(root)
        .env("CONTAINERS_STORAGE_CONF", root.join("storage.conf"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pinged = (0..300).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        ureq::get(format!("http://127.0.0.1:{port}/ping")).call().is_ok()
    });
    let stopped = sh(
        "podman --runtime runc --cgroup-manager=cgroupfs stop -t 5 serving",
        root,
    );
    let _ = child.wait();
    assert!(pinged, "the container answers its health check");
    assert!(
        stopped.status.success(),
        "{}",
        String::from_utf8_lossy(&stopped.stderr)
    );
}
