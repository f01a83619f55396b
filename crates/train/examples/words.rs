//! Measures the linear model: grouped cross-validation within a training file, or training against another file.
//!
//! ```text
//! cargo run --release -p poststelle-train --example words -- train.csv.gz queue,priority [validation.csv.gz]
//!     [--set strength=30]… [--folds 5] [--save DIRECTORY] [--scores FILE]
//! ```
//!
//! The text is subject, line break, body. `--scores` writes out-of-fold logits of the training rows (or the logits
//! of the second file) as raw little-endian f32, task after task.

use poststelle_labels::ClassIndex;
use poststelle_nn::Logits;
use poststelle_train::linear::{self, Settings};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::fs::{self, File};
use std::io::Read;
use std::time::Instant;

struct Data {
    texts: Vec<String>,
    groups: Vec<String>,
    labels: Vec<Vec<String>>,
}

fn read(path: &str, tasks: &[&str]) -> Result<Data, Box<dyn Error>> {
    let file = File::open(path)?;
    let bytes: Box<dyn Read> = if path.ends_with(".gz") {
        Box::new(flate2::read::GzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut reader = csv::Reader::from_reader(bytes);
    let header: HashMap<String, usize> = reader
        .headers()?
        .iter()
        .enumerate()
        .map(|(i, name)| (name.to_owned(), i))
        .collect();
    let column = |name: &str| {
        header
            .get(name)
            .copied()
            .ok_or(format!("{path}: no column `{name}`"))
    };
    let columns = tasks
        .iter()
        .map(|task| column(task))
        .collect::<Result<Vec<_>, _>>()?;
    let mut data = Data {
        texts: vec![],
        groups: vec![],
        labels: vec![vec![]; tasks.len()],
    };
    for (i, row) in reader.records().enumerate() {
        let row = row?;
        data.texts
            .push(format!("{}\n{}", &row[column("subject")?], &row[column("body")?]));
        data.groups.push(
            header
                .get("group")
                .map_or(format!("{i}"), |&at| row[at].to_owned()),
        );
        for (labels, &at) in data.labels.iter_mut().zip(&columns) {
            labels.push(row[at].to_owned());
        }
    }
    Ok(data)
}

/// Macro-F1 over the labels present in gold or prediction, as scikit-learn computes it.
fn macro_f1(gold: &[Option<usize>], found: &[usize]) -> f64 {
    let mut counts: BTreeMap<usize, [f64; 3]> = BTreeMap::new();
    for (&gold, &found) in gold.iter().zip(found) {
        let Some(gold) = gold else { continue };
        counts.entry(gold).or_default()[1] += 1.0;
        counts.entry(found).or_default()[2] += 1.0;
        if gold == found {
            counts.entry(gold).or_default()[0] += 1.0;
        }
    }
    counts
        .values()
        .map(|[hit, gold, found]| 2.0 * hit / (gold + found))
        .sum::<f64>()
        / counts.len() as f64
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (mut paths, mut sets, mut folds, mut save, mut scores) = (vec![], String::new(), 5, None, None);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--set" => sets += &(value()? + "\n"),
            "--folds" => folds = value()?.parse()?,
            "--save" => save = Some(value()?),
            "--scores" => scores = Some(value()?),
            _ => paths.push(arg),
        }
    }
    let [train, tasks, other @ ..] = paths.as_slice() else {
        return Err("usage: TRAIN TASKS [OTHER]".into());
    };
    let tasks: Vec<&str> = tasks.split(',').collect();
    let settings: Settings = toml::from_str(&sets)?;
    let data = read(train, &tasks)?;
    let sets: Vec<Vec<&String>> = data
        .labels
        .iter()
        .map(|column| {
            column
                .iter()
                .filter(|l| !l.is_empty())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect()
        })
        .collect();
    let classes: Vec<usize> = sets.iter().map(Vec::len).collect();
    // A label training never saw is a class of its own: it can only be missed.
    let index = |task: usize, label: &String| -> Option<usize> {
        (!label.is_empty()).then(|| sets[task].binary_search(&label).unwrap_or(classes[task]))
    };
    let gold = |data: &Data| -> Vec<Vec<Option<usize>>> {
        data.labels
            .iter()
            .enumerate()
            .map(|(t, c)| c.iter().map(|l| index(t, l)).collect())
            .collect()
    };
    let fit = |texts: &[&str], gold: &[Vec<Option<usize>>]| {
        let gold: Vec<Vec<Option<ClassIndex>>> = gold
            .iter()
            .map(|task| task.iter().map(|g| g.map(ClassIndex::from)).collect())
            .collect();
        let passes = std::sync::Mutex::new(vec![0; gold.len()]);
        let told = |p: linear::Progress| {
            if let Ok(mut passes) = passes.lock() {
                passes[p.task] = p.pass;
            }
        };
        let start = Instant::now();
        let model = linear::fit(texts, &gold, &classes, &settings, 13, told)?;
        println!(
            "fit {:.2} s, passes {:?}, features {}",
            start.elapsed().as_secs_f64(),
            passes.lock().map(|p| p.clone()).unwrap_or_default(),
            model.vectorizer().features()
        );
        Ok::<_, linear::FitError>(model)
    };
    let report = |gold: &[Vec<Option<usize>>], all: &[Logits]| {
        let mut sum = 0.0;
        for (t, logits) in all.iter().enumerate() {
            let best: Vec<usize> = (0..logits.rows())
                .map(|i| logits.softmax(1.0).best(i).unwrap_or(0))
                .collect();
            let hits = gold[t]
                .iter()
                .zip(&best)
                .filter(|(g, b)| **g == Some(**b))
                .count();
            let f1 = macro_f1(&gold[t], &best);
            sum += f1;
            print!(
                "{} macro-F1 {f1:.4} accuracy {:.4}; ",
                tasks[t],
                hits as f64 / logits.rows() as f64
            );
        }
        println!("mean {:.4}", sum / all.len() as f64);
    };

    let texts: Vec<&str> = data.texts.iter().map(String::as_str).collect();
    let train_gold = gold(&data);
    let logits = if let [path] = other {
        let other = read(path, &tasks)?;
        let model = fit(&texts, &train_gold)?;
        if let Some(directory) = save {
            fs::create_dir_all(&directory)?;
            model.save(directory.as_ref())?;
        }
        let other_texts: Vec<&str> = other.texts.iter().map(String::as_str).collect();
        let start = Instant::now();
        let logits = model.logits(&other_texts);
        println!(
            "{:.0} texts/s",
            other_texts.len() as f64 / start.elapsed().as_secs_f64()
        );
        report(&gold(&other), &logits);
        logits
    } else {
        let groups: BTreeSet<&String> = data.groups.iter().collect();
        // Whole families go to a fold, in an order without meaning: a multiplicative hash of their rank.
        let fold: HashMap<&String, usize> = groups
            .into_iter()
            .enumerate()
            .map(|(i, group)| (group, (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % folds))
            .collect();
        let mut values: Vec<Vec<f32>> = classes.iter().map(|c| vec![0.0; c * texts.len()]).collect();
        for held in 0..folds {
            let (inside, outside): (Vec<usize>, Vec<usize>) =
                (0..texts.len()).partition(|&i| fold[&data.groups[i]] != held);
            let kept: Vec<&str> = inside.iter().map(|&i| texts[i]).collect();
            let kept_gold: Vec<Vec<_>> = train_gold
                .iter()
                .map(|task| inside.iter().map(|&i| task[i]).collect())
                .collect();
            let model = fit(&kept, &kept_gold)?;
            let held: Vec<&str> = outside.iter().map(|&i| texts[i]).collect();
            for (t, logits) in model.logits(&held).iter().enumerate() {
                for (row, &i) in outside.iter().enumerate() {
                    values[t][i * classes[t]..(i + 1) * classes[t]].copy_from_slice(logits.row(row));
                }
            }
        }
        let logits: Vec<Logits> = values
            .into_iter()
            .zip(&classes)
            .map(|(v, &c)| Logits::new(texts.len(), c, v))
            .collect();
        report(&train_gold, &logits);
        logits
    };
    if let Some(path) = scores {
        let bytes: Vec<u8> = logits
            .iter()
            .flat_map(|l| l.values())
            .flat_map(|v| v.to_le_bytes())
            .collect();
        fs::write(path, bytes)?;
    }
    Ok(())
}
