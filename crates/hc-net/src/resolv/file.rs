//! The text of a resolv.conf(5) with hc's lines in it, and without.

use std::net::IpAddr;

/// Announces the line hc puts into the file: a comment may only stand on a line of
/// its own.
const MARK: &str = "# hc: the next line is put here while hc's agent runs";
/// Stands in a file that was not there before.
const MADE: &str = "# hc: this file is made by hc's agent and goes with it";

/// Puts `server` first, in place of another one hc put there. No text stands for no file.
pub(super) fn enable(text: Option<&str>, server: IpAddr) -> String {
    let rest = disable(text);
    let head = if rest.is_none() { format!("{MADE}\n") } else { String::new() };
    format!("{head}{MARK}\nnameserver {server}\n{}", rest.unwrap_or_default())
}

/// Takes hc's lines out; of a file that hc made, and nobody else wrote into, nothing is left.
pub(super) fn disable(text: Option<&str>) -> Option<String> {
    let text = text?;
    let mut out = String::with_capacity(text.len());
    let mut made = false;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        match line.trim_end() {
            MADE => made = true,
            // Whoever edits the file may have moved the lines apart: only a name server goes.
            MARK => drop(lines.next_if(|next| next.starts_with("nameserver "))),
            _ => out.push_str(line),
        }
    }
    (!(made && out.is_empty())).then_some(out)
}

/// The addresses behind `nameserver`, in order.
pub(super) fn nameservers(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        if words.next()? != "nameserver" {
            return None;
        }
        // Link-local addresses name their interface behind a '%'; they are left to the host.
        words.next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SERVER: &str = "127.0.0.60";

    #[test]
    fn is_put_first_and_taken_out() {
        let text = "# mine\nnameserver 192.0.2.1\nsearch example.com\n";
        let with = enable(Some(text), SERVER.parse().unwrap());
        insta::assert_snapshot!(with, @r"
        # hc: the next line is put here while hc's agent runs
        nameserver 127.0.0.60
        # mine
        nameserver 192.0.2.1
        search example.com
        ");
        assert_eq!(disable(Some(&with)).unwrap(), text);
        let made = enable(None, SERVER.parse().unwrap());
        assert_eq!(made.lines().count(), 3);
        assert_eq!(disable(Some(&made)), None);
    }

    #[test]
    fn a_file_hc_made_and_others_wrote_into_stays() {
        let with = enable(None, SERVER.parse().unwrap()) + "nameserver 192.0.2.1\n";
        assert_eq!(disable(Some(&with)).unwrap(), "nameserver 192.0.2.1\n");
    }

    proptest! {
        #[test]
        fn comes_back_byte_for_byte(
            text in "((nameserver|search|#|;)? ?[a-z0-9.:%é]{0,12}\r?\n?){0,8}",
            times in 1..4,
        ) {
            let mut with = text.clone();
            for last in 1..=times {
                let server: IpAddr = format!("127.0.0.{last}").parse().unwrap();
                with = enable(Some(&with), server);
                prop_assert_eq!(nameservers(&with).next(), Some(server));
                prop_assert_eq!(nameservers(&with).count(), nameservers(&text).count() + 1);
            }
            prop_assert_eq!(disable(Some(&with)), Some(text));
        }
    }
}
