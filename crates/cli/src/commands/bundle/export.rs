//! `bundle export`: a bundle for other programs.

use crate::commands::predict::check_there;
use crate::failure::Failure;
use crate::output::Output;
use clap::ValueEnum;
use poststelle_nn::export::{ExportError, Target, Written, export};
use serde_json::json;
use std::path::PathBuf;

/// Write a bundle's encoder and heads for other programs
///
/// `onnx`: one graph that answers every task, and a folder per task that pipelines load. `huggingface`: the encoder as
/// transformers' AutoModel opens it, and a folder per task for AutoModelForSequenceClassification. README.md and
/// poststelle.json in the export say what goes in, what comes out and what an export cannot do. Of a hybrid only the encoder is
/// written; a linear bundle is refused.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle: a directory or a model.tar.gz
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// What to write
    #[arg(long, value_enum, value_name = "TARGET")]
    to: To,
    /// Directory of the export, which must not exist
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Print the files and what is left out as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// Graphs for ONNX Runtime and its like
    Onnx,
    /// The layout of transformers
    Huggingface,
}

/// Runs `bundle export`.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let Args {
        bundle,
        to,
        out: folder,
        json,
    } = args;
    check_there(&bundle)?;
    let target = match to {
        To::Onnx => Target::Onnx,
        To::Huggingface => Target::HuggingFace,
    };
    let Written { files, left_out } = export(&bundle, target, &folder).map_err(failure)?;
    for one in &left_out {
        out.note(format!("left out: {one}"));
    }
    if json {
        return out.json(&json!({ "folder": folder, "files": files, "left_out": left_out }));
    }
    for file in files {
        out.text(&format!("{}\n", folder.join(file).display()))?;
    }
    Ok(())
}

fn failure(error: ExportError) -> Failure {
    match error {
        ExportError::Exists { .. } => Failure::misused(error).hint("name another directory with --out"),
        ExportError::Linear { .. } => Failure::misused(error)
            .hint("its weights are plain tensors already: `words.safetensors` in the bundle"),
        ExportError::Open(_) | ExportError::Json { .. } | ExportError::Tokenizer(_) => {
            Failure::misused(error)
        }
        ExportError::Write { .. } | ExportError::Weights(_) => Failure::broken(error),
    }
}
