use super::*;
use tokenizers::Tokenizer;

const SHAPE: [i32; 7] = [32, 1, 2, 64, 12, 8, 2];
const PIECES: [(&str, f32); 11] = [
    ("<s>", 0.0),
    ("<pad>", 0.0),
    ("</s>", 0.0),
    ("<unk>", 0.0),
    ("▁", -2.0),
    ("▁Haus", -3.0),
    ("tür", -4.0),
    ("▁die", -2.5),
    ("e", -5.0),
    ("fi", -4.5),
    ("<mask>", 0.0),
];

/// A whole file of the smallest sensible model. Scales and nibbles count up, so that every place has its own value.
fn file() -> Vec<u8> {
    let mut out = b"E5S1".to_vec();
    out.extend(1u32.to_le_bytes());
    SHAPE.iter().for_each(|n| out.extend(n.to_le_bytes()));
    out.extend(1e-12f32.to_le_bytes());
    out.extend(32i32.to_le_bytes());
    [PIECES.len() as i32, 0, 2, 1, 3]
        .iter()
        .for_each(|n| out.extend(n.to_le_bytes()));
    let bytes: String = PIECES.iter().map(|(piece, _)| *piece).collect();
    out.extend((bytes.len() as u64).to_le_bytes());
    let mut offset = 0u32;
    out.extend(offset.to_le_bytes());
    for (piece, _) in PIECES {
        offset += piece.len() as u32;
        out.extend(offset.to_le_bytes());
    }
    PIECES
        .iter()
        .for_each(|(_, score)| out.extend(score.to_le_bytes()));
    out.extend(bytes.as_bytes());
    out.extend(1i32.to_le_bytes());
    out.extend(9u32.to_le_bytes());
    out.extend([0xa0, 0, 0, 0, 1, 0x20, 0, 0, 0]);

    let shape = Shape {
        hidden: 32,
        layers: 1,
        heads: 2,
        ffn: 64,
        vocabulary: 12,
        positions: 8,
        types: 2,
        epsilon: 0.5,
    };
    let vocabulary = Vocabulary {
        pieces: Vec::new(),
        bos: 0,
        eos: 0,
        pad: 0,
        unk: 0,
    };
    let tensors = Model {
        bytes: &[],
        shape,
        vocabulary,
        tensors: HashMap::new(),
    }
    .architecture();
    let blocks =
        |named: &Named| named.shape.len() == 2 && !["emb.pos", "emb.type"].contains(&named.packed.as_str());
    let size = |named: &Named| {
        let elements: usize = named.shape.iter().product();
        if blocks(named) {
            elements / BLOCK * BLOCK_BYTES
        } else {
            elements * 4
        }
    };
    let table: usize = tensors.iter().map(|named| 23 + named.packed.len()).sum();
    let mut at = out.len() + 4 + table;
    out.extend((tensors.len() as i32).to_le_bytes());
    for named in &tensors {
        out.extend((named.packed.len() as u16).to_le_bytes());
        out.extend(named.packed.as_bytes());
        out.push(u8::from(blocks(named)));
        out.extend((named.shape.iter().product::<usize>() as u32).to_le_bytes());
        out.extend((at as u64).to_le_bytes());
        out.extend((size(named) as u64).to_le_bytes());
        at += size(named);
    }
    for (t, named) in tensors.iter().enumerate() {
        for i in 0..size(named) / if blocks(named) { BLOCK_BYTES } else { 4 } {
            if blocks(named) {
                out.extend(f16::from_f32(0.01 * (t + i + 1) as f32).to_le_bytes());
                out.extend((0..16).map(|j| (j as u8) | ((15 - j as u8) << 4)));
            } else {
                out.extend((t as f32 + i as f32 / 64.0).to_le_bytes());
            }
        }
    }
    out
}

fn unpacked(model: &Model<'_>, name: &str) -> Vec<f32> {
    let mut weights = Vec::new();
    model.unpack(name, |weight| weights.push(weight));
    weights
}

#[test]
fn unpacks_low_nibbles_first_and_high_ones_sixteen_later() {
    let bytes = file();
    let model = Model::parse(&bytes).expect("the file is whole");
    let weights = unpacked(&model, "emb.word");
    assert_eq!(weights.len(), 12 * 32);
    let scale = f16::from_f32(0.01).to_f32();
    for j in 0..16 {
        assert_eq!(weights[j], (j as f32 - 8.0) * scale);
        assert_eq!(weights[j + 16], (7.0 - j as f32) * scale);
    }
    assert_eq!(weights[32], -8.0 * f16::from_f32(0.02).to_f32());
    assert_eq!(unpacked(&model, "emb.pos")[1], 1.0 + 1.0 / 64.0);
    assert_eq!(model.vocabulary.pieces[6], ("tür".to_owned(), -4.0));
}

#[test]
fn writes_a_directory_that_the_libraries_read() {
    let bytes = file();
    let model = Model::parse(&bytes).expect("the file is whole");
    let dir = tempfile::tempdir().expect("temporary directory");
    let files = write(&model, dir.path()).expect("written");
    assert!(files.iter().all(|name| dir.path().join(name).is_file()));

    let data = std::fs::read(dir.path().join("model.safetensors")).expect("weights");
    let tensors = safetensors::SafeTensors::deserialize(&data).expect("safetensors");
    assert_eq!(tensors.len(), 5 + 16);
    for named in model.architecture() {
        let tensor = tensors.tensor(&named.name).expect("a tensor of the architecture");
        assert_eq!(tensor.shape(), named.shape);
        let expected: Vec<u8> = unpacked(&model, &named.packed)
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .collect();
        assert_eq!(tensor.data(), expected, "{}", named.name);
    }
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("config.json")).expect("config"))
            .expect("JSON");
    assert_eq!(config["layer_norm_eps"], 1e-12);
    assert_eq!(config["vocab_size"], 12);

    let tokenizer = Tokenizer::from_file(dir.path().join("tokenizer.json")).expect("tokenizer");
    let cases = [
        ("die Haustür", vec![0, 7, 5, 6, 2]),
        // A no-break space, a ligature, spaces around, a tab: normalised away.
        ("  die\u{a0}\tHaustür \u{fb01} ", vec![0, 7, 5, 6, 4, 9, 2]),
        ("e", vec![0, 4, 8, 2]),
        ("Z", vec![0, 4, 3, 2]),
        ("", vec![0, 2]),
    ];
    for (text, ids) in cases {
        assert_eq!(
            tokenizer.encode(text, true).expect("encoded").get_ids(),
            ids,
            "{text:?}"
        );
    }
}

#[test]
fn writes_the_same_bytes_twice() {
    let bytes = file();
    let model = Model::parse(&bytes).expect("the file is whole");
    let (a, b) = (
        tempfile::tempdir().expect("directory"),
        tempfile::tempdir().expect("directory"),
    );
    for name in write(&model, a.path()).expect("written") {
        write(&model, b.path()).expect("written");
        let read = |dir: &tempfile::TempDir| std::fs::read(dir.path().join(&name)).expect("a file");
        assert_eq!(read(&a), read(&b), "{name}");
    }
}

#[test]
fn every_shortened_file_is_refused() {
    let bytes = file();
    for length in 0..bytes.len() {
        assert!(
            Model::parse(&bytes[..length]).is_err(),
            "{length} of {} bytes",
            bytes.len()
        );
    }
    let error = Model::parse(&bytes[..64])
        .expect_err("cut in the header")
        .to_string();
    assert_eq!(
        error,
        "the length of the pieces at byte 64 needs 8 bytes, 0 are left"
    );
    assert!(matches!(Model::parse(b"PK\x03\x04"), Err(E5Error::Magic { .. })));
}

#[test]
fn no_changed_byte_makes_the_reader_panic() {
    let whole = file();
    let data = whole.len() - 4 * 2 * 32;
    let (mut refused, mut read) = (0, 0);
    for at in 0..data.min(2_000) {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            match Model::parse(&bytes) {
                Err(_) => refused += 1,
                Ok(model) => {
                    for named in model.architecture() {
                        let elements: usize = named.shape.iter().product();
                        assert_eq!(unpacked(&model, &named.packed).len(), elements);
                    }
                    read += 1;
                }
            }
        }
    }
    assert!(refused > 500 && read > 500, "{refused} refused, {read} read");
}

#[test]
fn counts_are_held_against_the_bytes_that_are_left() {
    let whole = file();
    let set = |at: usize, value: i32| {
        let mut bytes = whole.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        Model::parse(&bytes).map(|_| ()).expect_err("refused").to_string()
    };
    assert_eq!(set(8, -1), "the hidden size is -1, expected 1 to 16384");
    assert_eq!(
        set(16, 3),
        "the hidden size is 32, expected a multiple of 3 heads"
    );
    assert_eq!(set(24, 11), "the size of `emb.word` is 384, expected 352");
    assert_eq!(set(40, 16), "the block size is 16, expected 32 to 32");
    assert_eq!(set(44, 13), "the number of pieces is 13, expected 1 to 12");
    assert_eq!(set(48, 11), "bos is 11, expected 0 to 10");
    assert!(set(64, -1).starts_with("the pieces at byte "), "{}", set(64, -1));
}
