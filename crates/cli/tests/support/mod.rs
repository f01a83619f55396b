//! What tests of the command share: other people's programs, installed once and ended where they take too long, and a small bundle.
#![allow(dead_code)] // a test needs some of it

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub const POSTSTELLE: &str = env!("CARGO_BIN_EXE_poststelle");

/// Seconds a program may take, on a machine that is busy with other things.
pub const CALL_S: u16 = 300;
/// Seconds its installation may take.
pub const INSTALL_S: u16 = 900;

/// A program that is ended, with all that it started, where it takes too long.
pub fn within(seconds: u16, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", &seconds.to_string()])
        .arg(program)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// What it prints, where it succeeds.
#[track_caller]
pub fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let [out, talk] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}\n{talk}",
        output.status
    );
    out.into_owned()
}

/// Where what is installed is kept.
pub fn cache() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    let cache = home.join(".cache/poststelle-test");
    fs::create_dir_all(&cache).unwrap();
    cache
}

/// A file that one test at a time holds.
pub fn lock(name: &str) -> File {
    let lock = File::create(cache().join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    lock
}

/// A folder that is filled once and kept; who else wants it waits.
pub fn cached(name: &str, is_there: impl Fn(&Path) -> bool, fill: impl FnOnce(&Path)) -> PathBuf {
    let _one = lock(name);
    let folder = cache().join(name);
    if !is_there(&folder) {
        fill(&folder);
        assert!(is_there(&folder), "{}", folder.display());
    }
    folder
}

/// Whether a command succeeds.
pub fn works(command: &mut Command) -> bool {
    let output = command.output();
    output.is_ok_and(|output| output.status.success())
}

/// The programs of a virtual environment with a package, `package==version` or `package[extra]==version`, made if this command of it does
/// not work yet.
pub fn environment(package: &str, program: &str, args: &[&str]) -> PathBuf {
    let (name, version) = package.split_once("==").unwrap();
    let name = name.split('[').next().unwrap();
    let is_there = |at: &Path| works(within(CALL_S, at.join("bin").join(program)).args(args));
    let at = cached(&format!("{name}-{version}"), is_there, |at| {
        done(
            within(INSTALL_S, "python3")
                .args(["-m", "venv", "--clear"])
                .arg(at),
        );
        done(within(INSTALL_S, at.join("bin/python")).args(["-m", "pip", "install", "-q", package]));
    });
    at.join("bin")
}

/// What Debian's package `prometheus` has for checks.
pub fn promtool() -> PathBuf {
    const UNPACK: &str = "rm -f prometheus_*.deb
apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }
dpkg --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
rm prometheus_*.deb";
    let program = |at: &Path| at.join("usr/bin/promtool");
    let is_there = |at: &Path| works(within(CALL_S, program(at)).arg("--version"));
    program(&cached("prometheus", is_there, |at| {
        fs::create_dir_all(at).unwrap();
        done(within(INSTALL_S, "sh").args(["-ec", UNPACK]).current_dir(at));
    }))
}

/// A bundle learned from made-up mail, in less than a second.
pub fn bundle(at: &Path) {
    let mails = tempfile::tempdir().unwrap();
    let sample = ["sample", "--count", "300", "--seed", "3", "--out"];
    done(within(CALL_S, POSTSTELLE).args(sample).arg(mails.path()));
    let data = "[data]\ntrain = ['mails.mbox']\nlabels = 'labels.csv'\nsplit = { validation = 0.2 }\n[model]\nkind = 'linear'\n";
    let recipe = mails.path().join("recipe.toml");
    fs::write(&recipe, format!("schema = 'labels.toml'\n{data}")).unwrap();
    let mut train = within(CALL_S, POSTSTELLE);
    train
        .args(["train", "--accept-findings", "--recipe"])
        .arg(recipe)
        .arg("--out")
        .arg(at);
    done(&mut train);
}
