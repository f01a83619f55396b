//! Against the crate: every text gets the same ids.

use super::*;
use crate::encode::Encoder;
use proptest::prelude::*;
use serde_json::json;
use std::path::{Path, PathBuf};

/// The tiny XLM-RoBERTa's tokenizer with some of its settings changed, in a folder, its pieces beside it.
fn changed(folder: &Path, changes: &[(&str, Value)]) -> PathBuf {
    let from = "../../fixtures/tiny-model/xlm-roberta/tokenizer.json";
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(from);
    let text = std::fs::read_to_string(from).unwrap_or_else(|error| panic!("{error}"));
    let mut json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    for (part, value) in changes {
        json[part] = value.clone();
    }
    let (tokenizer, file) = (folder.join("tokenizer.json"), folder.join(pieces::FILE));
    std::fs::write(&tokenizer, json.to_string()).unwrap_or_else(|error| panic!("{error}"));
    let written = pieces::write(&tokenizer, "abc", &file);
    assert!(written.unwrap_or_else(|error| panic!("{error}")));
    file
}

fn mapped(file: &Path, limit: usize, prefix: &str) -> Encoder {
    Encoder::map(file, "abc", limit, prefix).unwrap_or_else(|error| panic!("{error}"))
}

/// Strips on the sides named, then makes spaces side by side one of `space`.
fn squeezed(mut steps: Vec<Value>, (left, right): (bool, bool), space: &str) -> Value {
    steps.push(json!({ "type": "Strip", "strip_left": left, "strip_right": right }));
    steps.push(json!({ "type": "Replace", "pattern": { "Regex": " {2,}" }, "content": space }));
    json!({ "type": "Sequence", "normalizers": steps })
}

/// A small character map, in the form of SentencePiece: a double array where every node has 256 cells to itself.
fn charsmap() -> Value {
    let entries = [
        ("\t", " "),
        ("\n", " "),
        ("\r\n", "#"),
        ("\u{1}", ""),
        ("A", "a"),
        ("e\u{301}", "é"),
        ("\u{301}", "b"),
        ("\u{a0}", " "),
        ("\u{3000}", "  "),
        ("\u{2581}", " "),
        ("ﬁ", "fi"),
        ("½", "1 2"),
        ("…", " ▁. "),
        ("\u{200d}", ""),
    ];
    let (mut cells, mut texts) = (vec![0u32; 256], Vec::new());
    for (key, value) in entries {
        let (mut at, mut block) = (0, 0);
        for byte in key.bytes() {
            at = block + usize::from(byte);
            if cells[at] == 0 {
                block = cells.len();
                cells.resize(block + 256, 0);
                cells[at] = ((at ^ block) as u32) << 10 | u32::from(byte);
            }
            block = at ^ (cells[at] >> 10) as usize;
        }
        cells[at] |= 1 << 8;
        cells[block] = 1 << 31 | texts.len() as u32;
        texts.extend(value.bytes().chain([0]));
    }
    let mut bytes = (4 * cells.len() as u32).to_le_bytes().to_vec();
    bytes.extend(cells.into_iter().flat_map(u32::to_le_bytes));
    bytes.extend(texts);
    let map = Precompiled::from(&bytes).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(map.transform("½"), Some("1 2"));
    assert_eq!(map.transform("a"), None);
    serde_json::to_value(map).unwrap_or_else(|error| panic!("{error}"))
}

/// What is known here, each with its tokenizer's name for the message.
fn known() -> Vec<(&'static str, Vec<(&'static str, Value)>)> {
    let composed = || vec![json!({ "type": "Nmt" }), json!({ "type": "NFKC" })];
    let mapped = || vec![charsmap()];
    let split = json!({ "type": "Sequence", "pretokenizers": [
        { "type": "WhitespaceSplit" },
        { "type": "Metaspace", "replacement": "▁", "add_prefix_space": true },
    ] });
    let normalizer = "normalizer";
    vec![
        ("tiny", vec![]),
        (
            "stripped",
            vec![(normalizer, squeezed(composed(), (true, true), " "))],
        ),
        (
            "left",
            vec![(normalizer, squeezed(composed(), (true, false), " "))],
        ),
        ("map", vec![(normalizer, charsmap())]),
        (
            "map, right",
            vec![(normalizer, squeezed(mapped(), (false, true), "▁"))],
        ),
        (
            "map, stripped",
            vec![(normalizer, squeezed(mapped(), (true, true), " "))],
        ),
        (
            "map, split",
            vec![(normalizer, charsmap()), ("pre_tokenizer", split)],
        ),
    ]
}

/// Whatever gives one of the steps something to do, or the next of them.
const PARTS: &[&str] = &[
    "a", "e", "Rechnung", "ung", "te", "A", "\u{5bc6}", "\u{5bc7}", " ", "  ", "\n", "\r", "\r\n", "\t",
    "\u{b}", "\u{85}", "\u{a0}", "\u{3000}", "\u{2028}", "\u{2581}", "\u{200b}", "\u{200d}", "\u{feff}",
    "\u{fffd}", "\0", "\u{1}", "\u{7f}", "\u{301}", "\u{308}", "\u{323}", "\u{345}", "\u{344}", "é", "ộ",
    "ﬁ", "½", "…", "¨", "ſ", "ẛ", "Ⅷ", "가", "\u{1100}", "\u{1161}", "\u{11a7}", "\u{11a8}", "क", "\u{93c}",
    "\u{9c7}", "\u{9be}", "\u{e33}", "😀", "\u{fe0f}", "🇩", "🇪", "<mask>", "</s>", "<unk>", "<",
];

#[test]
fn any_text_gets_the_ids_the_crate_gives() {
    for (name, changes) in known() {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let file = changed(folder.path(), &changes);
        let both: Vec<_> = [(2, ""), (9, "query: "), (1000, "query: "), (1000, "")]
            .into_iter()
            .map(|(limit, prefix)| {
                let read = Encoder::open(folder.path(), limit, prefix);
                (
                    mapped(&file, limit, prefix),
                    read.unwrap_or_else(|error| panic!("{error}")),
                )
            })
            .collect();
        let same = |text: &str| {
            for (mapped, read) in &both {
                assert!(mapped.straight.is_some() && read.straight.is_none(), "{name}");
                let [found, expected] = [mapped, read]
                    .map(|encoder| encoder.encode(&[text]).unwrap_or_else(|error| panic!("{error}")));
                assert_eq!(found, expected, "{name}: {text:?}");
            }
        };
        for text in [
            "",
            " ",
            "\u{1}",
            "\u{85}",
            "Bitte die Rechnung senden",
            "a\u{5bc6}\u{5bc6} \u{5bc6}a",
        ] {
            same(text);
        }
        for one in PARTS {
            for other in PARTS {
                same(&format!("{one}{other}"));
                same(&format!("a{one}{other}e{one}"));
            }
        }
        let parts = proptest::collection::vec(proptest::sample::select(PARTS), 0..30);
        proptest!(|(any in "(?s).{0,40}", parts in parts)| {
            same(&any);
            same(&parts.concat());
        });
    }
}

#[test]
fn other_settings_have_no_straight_way() {
    let token = |content: &str, special: bool| {
        json!({ "id": 72, "content": content, "special": special, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false })
    };
    let lower = json!({ "type": "Sequence", "normalizers": [{ "type": "Nmt" }, { "type": "NFKC" }, { "type": "Lowercase" }] });
    let first = json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true });
    let other = vec![
        ("normalizer", Value::Null),
        ("normalizer", json!({ "type": "NFKC" })),
        ("normalizer", lower),
        ("normalizer", squeezed(vec![], (true, true), " ")),
        ("normalizer", squeezed(vec![charsmap()], (true, true), "_")),
        ("pre_tokenizer", Value::Null),
        ("pre_tokenizer", first),
        ("post_processor", Value::Null),
        ("added_tokens", json!([token("[Name]", false)])),
    ];
    for (part, value) in other {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let file = changed(folder.path(), &[(part, value.clone())]);
        assert!(mapped(&file, 9, "").straight.is_none(), "{part}: {value}");
    }
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let file = changed(folder.path(), &[("added_tokens", json!([token("[Name]", true)]))]);
    assert!(mapped(&file, 9, "").straight.is_some());
}

#[test]
fn only_what_touches_no_character_before_it_stands_alone() {
    let composes = |one: char| is_nfkc_quick(std::iter::once(one)) == IsNormalized::Maybe;
    let mut count = 0;
    for character in ('\0'..=char::MAX).filter(|one| stands_alone(*one)) {
        count += 1;
        let text = character.to_string();
        assert!(text.nfkc().map(|(one, _)| one).eq([character]), "{character:?}");
        let first = text.nfkd().next().map(|(one, _)| one);
        assert!(
            first.is_some_and(|one| canonical_combining_class(one) == 0 && !composes(one)),
            "{character:?}"
        );
    }
    assert!(count > 1_000_000);
}

#[test]
fn a_thread_keeps_little() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let file = changed(folder.path(), &[]);
    let encoder = mapped(&file, 9, "");
    for text in ["a".repeat(1 << 20), "\u{301}".repeat(1 << 20)] {
        let encoding = encoder.encode(&[&text]).unwrap_or_else(|error| panic!("{error}"));
        assert!(encoding[0].ids.len() <= 9 && encoding[0].ids.capacity() <= 9);
        let room = ROOM.take();
        let bytes = room.together.capacity() + room.space.capacity() + room.word.capacity();
        assert!(bytes <= 3 * KEPT && room.ids.capacity() < 64);
    }
}
