use super::*;
use crate::hash::{CAHash, NixHash};
use proptest::prelude::*;

pub fn path() -> impl Strategy<Value = StorePath> {
    (any::<[u8; 20]>(), "[a-z][a-z0-9.+-]{0,20}")
        .prop_map(|(digest, name)| StorePath::from_parts(digest, &name).unwrap())
}

pub fn path_info() -> impl Strategy<Value = UnkeyedPathInfo> {
    let paths = proptest::collection::btree_set(path(), 0..4);
    let signatures = proptest::collection::vec("[a-z]{1,5}:[a-z]{1,5}", 0..3);
    (proptest::option::of(path()), paths, signatures, any::<(u64, u64, bool)>(), any::<[u8; 32]>())
        .prop_map(|(deriver, references, signatures, (registered, nar_size, ultimate), hash)| {
            UnkeyedPathInfo {
                deriver,
                nar_hash: NixHash::Sha256(hash),
                references,
                registered,
                nar_size,
                ultimate,
                signatures,
                ca: ultimate.then_some(CAHash::Nar(NixHash::Sha256(hash))),
            }
        })
}

pub fn basic_derivation() -> impl Strategy<Value = BasicDerivation> {
    let environment = proptest::collection::btree_map(any::<Vec<u8>>(), any::<Vec<u8>>(), 0..4);
    let fixed = any::<Option<[u8; 2]>>();
    (path(), environment, any::<Vec<Vec<u8>>>(), fixed).prop_map(
        |(path, environment, arguments, fixed)| {
            let output = BasicOutput {
                path: fixed.is_none().then(|| path.clone()),
                method: fixed.map(|_| "r:sha256".to_owned()).unwrap_or_default(),
                digest: fixed.map(|[a, b]| format!("{a:02x}{b:02x}")).unwrap_or_default(),
            };
            BasicDerivation {
                outputs: [("out".into(), output)].into(),
                input_sources: [path].into(),
                system: "x86_64-linux".into(),
                builder: "/bin/sh".into(),
                arguments,
                environment,
            }
        },
    )
}

fn result() -> impl Strategy<Value = BuildResult> {
    let output = (any::<[u8; 32]>(), "[a-z]{1,8}", path(), "[a-z]{1,5}:[a-z]{1,5}").prop_map(
        |(hash, output, path, signature)| {
            let id = RealisationId { drv_hash: NixHash::Sha256(hash), output };
            let realisation = Realisation { id: id.clone(), path, signatures: vec![signature] };
            (id, realisation)
        },
    );
    (
        0..15usize,
        any::<(String, u32, bool, u64, u64)>(),
        any::<(Option<u64>, Option<u64>)>(),
        proptest::collection::btree_map(0..9u8, output, 0..3),
    )
        .prop_map(|(status, (error, times_built, bad, started, stopped), cpu, outputs)| {
            BuildResult {
                status: BuildStatus::ALL[status],
                error,
                times_built,
                non_deterministic: bad,
                started,
                stopped,
                cpu,
                outputs: outputs.into_values().collect(),
            }
        })
}

proptest! {
    #[test]
    fn strings_are_padded_and_read_back(bytes: Vec<u8>) {
        let mut writer = Writer::new(Vec::new());
        writer.bytes(&bytes).unwrap();
        let written = writer.into_inner();
        prop_assert_eq!(written.len() % 8, 0);
        prop_assert_eq!(Reader::new(written.as_slice()).bytes().unwrap(), bytes);
        for cut in 0..written.len() {
            prop_assert!(Reader::new(&written[..cut]).bytes().is_err());
        }
    }

    #[test]
    fn results_are_read_back(mut result in result(), cpu: bool) {
        let mut writer = Writer::new(Vec::new());
        writer.build_result(&result, cpu).unwrap();
        if !cpu {
            result.cpu = (None, None);
        }
        prop_assert_eq!(Reader::new(writer.into_inner().as_slice()).build_result(cpu).unwrap(), result);
    }

    #[test]
    fn basic_derivations_are_read_back(derivation in basic_derivation()) {
        let mut writer = Writer::new(Vec::new());
        writer.basic_derivation(&derivation).unwrap();
        prop_assert_eq!(Reader::new(writer.into_inner().as_slice()).basic_derivation().unwrap(), derivation);
    }

    #[test]
    fn path_infos_are_read_back(info in path_info()) {
        let mut writer = Writer::new(Vec::new());
        writer.path_info(&info).unwrap();
        prop_assert_eq!(Reader::new(writer.into_inner().as_slice()).path_info().unwrap(), info);
    }

    #[test]
    fn a_stream_ends_where_it_ends(parts: Vec<Vec<u8>>, after: u64) {
        let mut to = Vec::new();
        let mut stream = FramedWriter::new(&mut to);
        for part in &parts {
            stream.write_all(part).unwrap();
            stream.flush().unwrap();
        }
        stream.finish().unwrap();
        to.extend(after.to_le_bytes());
        let mut left = to.as_slice();
        let mut got = Vec::new();
        FramedReader::new(&mut left).read_to_end(&mut got).unwrap();
        prop_assert_eq!(got, parts.concat());
        prop_assert_eq!(left, after.to_le_bytes());
    }
}

#[test]
fn a_false_length_costs_nothing() {
    let huge = (u64::MAX - 7).to_le_bytes();
    assert!(matches!(Reader::new(huge.as_slice()).bytes(), Err(Error::TooLarge)));
    let long = (200_u64 << 20).to_le_bytes();
    assert!(matches!(Reader::new(long.as_slice()).bytes(), Err(Error::Io(_))));
    // A list of very many empty strings ends at the limit.
    let endless = std::io::repeat(0).take(u64::MAX);
    let count = u64::MAX.to_le_bytes();
    let mut reader = Reader::new(count.as_slice().chain(endless));
    assert!(matches!(reader.strings(), Err(Error::TooLarge)));
}

#[test]
fn padding_must_be_zero() {
    let mut bytes = 1_u64.to_le_bytes().to_vec();
    bytes.extend(b"axxxxxxx");
    assert!(matches!(Reader::new(bytes.as_slice()).bytes(), Err(Error::Malformed(_))));
}
