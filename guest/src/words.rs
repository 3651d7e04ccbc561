//! What is wanted: words of the kernel's command line, and before them those of `/hc/config`.
//!
//! | word | meaning |
//! |---|---|
//! | `root=/dev/vda`, `root=serial:NAME` | the disk with the root file system; else the first that has one |
//! | `rootfstype=erofs` | its kind; else what its first bytes say |
//! | `ro` | nothing is written to the root file system, nor to a layer above it |
//! | `hc.layer=/dev/vdb`, `hc.layer=serial:NAME` | where what is written above an EROFS is kept; else in memory |
//! | `init=/sbin/init` | what becomes process 1 |
//! | `-- /bin/sh -c "exit 3"` | one command to run instead, and then to power off |

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A disk, as a word names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disk {
    /// By its name in `/dev`, without that.
    Name(String),
    /// By the serial number that the virtual machine gives it.
    Serial(String),
}

/// Everything that is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `root=`
    pub root: Option<Disk>,
    /// `rootfstype=`
    pub kind: Option<String>,
    /// `ro`
    pub read_only: bool,
    /// `hc.layer=`
    pub layer: Option<Disk>,
    /// `init=`
    pub init: Option<String>,
    /// What stands behind `--`; empty when nothing does.
    pub command: Vec<String>,
}

/// Reads both texts; a word of the second counts more.
///
/// # Errors
/// A sentence on the word that makes no sense.
pub fn parse(config: &str, command_line: &str) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    for text in [config, command_line] {
        let mut words = split(text).into_iter();
        while let Some(word) = words.next() {
            if word == "--" {
                wanted.command = words.collect();
                break;
            }
            match word.split_once('=') {
                Some(("root", value)) => wanted.root = Some(disk(&word, value)?),
                Some(("hc.layer", value)) => wanted.layer = Some(disk(&word, value)?),
                Some(("rootfstype", value)) => wanted.kind = Some(value.into()),
                Some(("init", value)) => wanted.init = Some(value.into()),
                None if word == "ro" => wanted.read_only = true,
                None if word == "rw" => wanted.read_only = false,
                _ => {}
            }
        }
    }
    Ok(wanted)
}

fn disk(word: &str, value: &str) -> Result<Disk, String> {
    let plain = |name: &str| !name.is_empty() && !name.contains('/');
    if let Some(serial) = value.strip_prefix("serial:").filter(|s| plain(s)) {
        return Ok(Disk::Serial(serial.into()));
    }
    match value.strip_prefix("/dev/").filter(|name| plain(name)) {
        Some(name) => Ok(Disk::Name(name.into())),
        None => Err(alloc::format!("'{word}' names no disk: say /dev/NAME or serial:NAME")),
    }
}

/// Words with blanks between them; double quotes keep blanks, wherever they stand in a word.
fn split(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for character in text.chars() {
        match character {
            '"' => (quoted, begun) = (!quoted, true),
            ' ' | '\n' | '\t' | '\0' if !quoted => {
                if begun {
                    words.push(core::mem::take(&mut word));
                    begun = false;
                }
            }
            other => {
                word.push(other);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word.to_string());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_counts_more_than_the_configuration() {
        let wanted =
            parse("root=/dev/vda ro init=/a\n", "quiet root=serial:root rw init=/b\n").unwrap();
        assert_eq!(wanted.root, Some(Disk::Serial("root".into())));
        assert_eq!(wanted.init.as_deref(), Some("/b"));
        assert!(!wanted.read_only);
        assert!(wanted.command.is_empty());
    }

    #[test]
    fn a_command_keeps_its_quoted_blanks_and_empty_words() {
        let wanted = parse("", "console=ttyS0 -- /bin/sh -c \"exit  3\" \"\" a=\"b c\"").unwrap();
        assert_eq!(wanted.command, ["/bin/sh", "-c", "exit  3", "", "a=b c"]);
    }

    #[test]
    fn a_disk_is_below_dev_or_a_serial_number() {
        for bad in ["root=vda", "root=/dev/", "root=/dev/../etc/passwd", "hc.layer=serial:"] {
            let said = parse("", bad).unwrap_err();
            assert!(said.contains(bad), "{said}");
        }
    }
}
