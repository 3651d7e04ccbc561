//! Which way of forking a disk is taken, and why not a better one.

/// How a machine's disk shares what it has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// A raw file whose blocks are the image's, or its copy's, until one side writes (btrfs, XFS).
    Reflink,
    /// A qcow2 file that holds what was written, over the image in the store.
    Overlay,
}

/// What was found out by trying; an `Err` says why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Files of the machines' directory can share blocks with files of the store.
    pub store: Result<(), String>,
    /// They can with files of the bases' directory.
    pub here: Result<(), String>,
    /// The image has a copy among the bases already.
    pub copied: bool,
    /// An overlay can name the image.
    pub overlay: Result<(), String>,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// How.
    pub method: Method,
    /// The blocks shared are those of a copy of the image on this file system.
    pub of_copy: bool,
    /// That copy has to be made first: the only time anything is copied.
    pub copies: bool,
    /// Better ways, and why they do not work here.
    pub passed_over: Vec<String>,
}

/// The best way that works: blocks of the store, blocks of one copy, an overlay; never a copy for
/// one fork.
///
/// # Errors
/// The reasons, when none works.
pub fn plan(findings: &Findings) -> Result<Plan, Vec<String>> {
    let mut passed_over = Vec::new();
    let ways = [
        (Method::Reflink, false, &findings.store, "blocks shared with the store"),
        (Method::Reflink, true, &findings.here, "blocks shared with one copy of the image"),
        (Method::Overlay, false, &findings.overlay, "a qcow2 overlay"),
    ];
    for (method, of_copy, found, what) in ways {
        match found {
            Ok(()) => {
                let copies = of_copy && !findings.copied;
                return Ok(Plan { method, of_copy, copies, passed_over });
            }
            Err(why) => passed_over.push(format!("{what}: {why}")),
        }
    }
    Err(passed_over)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found() -> impl Strategy<Value = Result<(), String>> {
        prop_oneof![Just(Ok(())), "[a-z]{1,8}".prop_map(Err)]
    }

    proptest! {
        #[test]
        fn the_first_way_that_works_is_taken(
            (store, here, overlay) in (found(), found(), found()), copied: bool,
        ) {
            let findings = Findings { store, here, copied, overlay };
            let works = [&findings.store, &findings.here, &findings.overlay].map(|way| way.is_ok());
            match plan(&findings) {
                Ok(plan) => {
                    let way = match (plan.method, plan.of_copy) {
                        (Method::Reflink, of_copy) => usize::from(of_copy),
                        (Method::Overlay, of_copy) => { prop_assert!(!of_copy); 2 }
                    };
                    prop_assert_eq!(works.iter().position(|works| *works), Some(way));
                    prop_assert_eq!(plan.passed_over.len(), way, "a reason for each better way");
                    // A copy is made for blocks to share alone, and never twice.
                    prop_assert_eq!(plan.copies, way == 1 && !findings.copied);
                }
                Err(reasons) => {
                    prop_assert_eq!(works, [false; 3]);
                    prop_assert_eq!(reasons.len(), 3);
                }
            }
        }
    }

    #[test]
    fn reasons_are_words_for_people() {
        let findings = Findings {
            store: Err("ext4 cannot".into()),
            here: Err("ext4 cannot".into()),
            copied: false,
            overlay: Ok(()),
        };
        insta::assert_debug_snapshot!(plan(&findings).unwrap(), @r#"
        Plan {
            method: Overlay,
            of_copy: false,
            copies: false,
            passed_over: [
                "blocks shared with the store: ext4 cannot",
                "blocks shared with one copy of the image: ext4 cannot",
            ],
        }
        "#);
    }
}
