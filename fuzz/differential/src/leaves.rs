//! Random literals: numbers, texts, regular expressions, JSON, TOML, versions.

use crate::random::Random;

const WORDS: &[&str] = &[
    "a", "b", "ab", "foo", "x", "1", "2.5", "-", "_", ".", " ", ",", "/", "A", "ä", "€", "😀", "'",
    "$", "#", "=", "+", ":", "~", "%", "\\\\", "\\n", "\\t", "\\\"", "\\${", "\\r",
];

/// A literal of a kind, as the kinds of `generate` have it; none for those that have no literals.
pub fn leaf(kind: char, random: &mut Random) -> Option<String> {
    Some(match kind {
        'i' => int(random),
        'm' => format!("({})", random.below(9) as i64 - 1),
        'f' => float(random),
        's' => format!("\"{}\"", some(random, WORDS, 6)),
        'k' => format!("\"{}\"", some(random, &["a", "b", "c", "x", "foo", "y'", "-", "."], 2)),
        'r' => format!("\"{}\"", regex(random, 3)),
        'v' => format!("\"{}\"", version(random)),
        'j' => quoted(&json(random, 3)),
        't' => quoted(&toml(random)),
        'I' => list(random, int),
        'S' => list(random, |random| format!("\"{}\"", some(random, WORDS, 3))),
        _ => return None,
    })
}

fn some(random: &mut Random, parts: &[&str], most: usize) -> String {
    (0..random.below(most + 1)).map(|_| *random.of(parts)).collect()
}

fn list(random: &mut Random, item: impl Fn(&mut Random) -> String) -> String {
    let items: Vec<String> = (0..random.below(6)).map(|_| item(random)).collect();
    format!("[ {} ]", items.join(" "))
}

fn int(random: &mut Random) -> String {
    let value = random.next() as i64 >> random.below(64);
    match value {
        i64::MIN => "0".to_owned(),
        value if value < 0 => format!("({value})"),
        value => value.to_string(),
    }
}

fn float(random: &mut Random) -> String {
    let bits = f64::from_bits(random.next());
    let value = match random.below(4) {
        0 if bits.is_finite() => bits,
        1 => (random.next() as i64 >> random.below(64)) as f64 / 1000.0,
        2 => (random.below(2000) as f64 - 1000.0) / 8.0,
        _ => f64::powi(10.0, random.below(44) as i32 - 22) * (1 + random.below(99)) as f64,
    };
    // Nix has no exponent without a point before it.
    let text = format!("{:?}", value.abs());
    let text = match text.split_once('e') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0e{exponent}"),
        _ => text,
    };
    if value.is_sign_negative() { format!("(-{text})") } else { text }
}

/// A Nix string of a text of another language.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${");
    format!("\"{}\"", text.replace('\n', "\\n"))
}

fn regex(random: &mut Random, depth: usize) -> String {
    const ATOMS: &[&str] = &[
        "a",
        "b",
        "c",
        "o",
        ".",
        "[a-c]",
        "[^a]",
        "[[:alpha:]]",
        "[[:space:]]",
        "[0-9]",
        "[]a]",
        "[^]a]",
        "[a-]",
        "-",
        "x",
        " ",
        "\\\\.",
        "\\\\$",
        "^",
        "$",
        "[[:digit:]._-]",
        "\\\\(",
        "\\\\[",
        "[[.a.]]",
        "[[=a=]]",
        "{",
        "}",
        "]",
        "\\\\d",
        "ä",
    ];
    let mut out = String::new();
    for _ in 0..1 + random.below(3) {
        if depth > 0 && random.chance(35) {
            out += &format!("({})", regex(random, depth - 1));
        } else {
            out.push_str(random.of::<&str>(ATOMS));
        }
        if random.chance(40) {
            out.push_str(
                random.of::<&str>(&[
                    "*", "+", "?", "{2}", "{1,2}", "{0,1}", "{1,}", "{,2}", "**", "*?",
                ]),
            );
        }
    }
    if depth > 0 && random.chance(25) {
        out += "|";
        out += &regex(random, depth - 1);
    }
    out
}

fn version(random: &mut Random) -> String {
    some(random, &["1", "2", "10", "01", ".", "-", "pre", "a", "b", "rc", "foo", "0", "_", "+"], 7)
}

fn json(random: &mut Random, depth: usize) -> String {
    const PLAIN: &[&str] = &[
        "1",
        "-1",
        "0",
        "1.5",
        "1e5",
        "1E-3",
        "-0.0",
        "true",
        "false",
        "null",
        "\"\"",
        "\"a\"",
        "\"\\n\"",
        "\"\\u00e9\"",
        "\"ä\"",
        "\"\\/\"",
        "12345678901",
        "9223372036854775807",
        "18446744073709551615",
        "18446744073709551616",
        "\"\\ud800\"",
        "nan",
        "01",
        "+1",
        ".5",
        "1.",
        "'a'",
        "\"\\x\"",
        "",
    ];
    if depth == 0 || random.chance(40) {
        return (*random.of(PLAIN)).to_owned();
    }
    let space = *random.of(&["", "", " ", "\n"]);
    let count = random.below(4);
    if random.chance(50) {
        let items: Vec<String> = (0..count).map(|_| json(random, depth - 1)).collect();
        return format!("[{space}{}]", items.join(&format!(",{space}")));
    }
    let items: Vec<String> = (0..count)
        .map(|_| {
            let name = *random.of(&["a", "b", "", "foo", "\\u0061", "x y"]);
            format!("\"{name}\":{space}{}", json(random, depth - 1))
        })
        .collect();
    format!("{{{}{space}}}", items.join(","))
}

fn toml(random: &mut Random) -> String {
    const VALUES: &[&str] = &[
        "1",
        "-1",
        "+1",
        "1_000",
        "0x1F",
        "0o17",
        "0b11",
        "1.5",
        "-0.0",
        "1e3",
        "6.02e23",
        "inf",
        "-inf",
        "nan",
        "true",
        "false",
        "\"a\"",
        "'a\\'",
        "\"\\n\\u00e4\"",
        "\"\"\"\nx\\\n  y\"\"\"",
        "'''\na'b'''",
        "[]",
        "[1, 2,]",
        "[[1], [\"a\"]]",
        "[1, \"a\"]",
        "{}",
        "{a = 1, b.c = 2}",
        "9223372036854775807",
        "1979-05-27",
        "07:32:00",
        "1979-05-27T07:32:00Z",
        "01",
        "1.",
        "_1",
        "{a = 1,}",
        "\"",
        "[1",
        "9223372036854775808",
        "\"\\x\"",
        "truE",
    ];
    const NAMES: &[&str] =
        &["a", "b", "c", "a.b", "\"x y\"", "'q'", "1", "a-b", "\"\"", "b.c.d", "a b"];
    let mut out = String::new();
    for _ in 0..1 + random.below(4) {
        if random.chance(25) {
            let name = *random.of(NAMES);
            out += &if random.chance(40) { format!("[[{name}]]\n") } else { format!("[{name}]\n") };
        }
        let comment = if random.chance(10) { " # why" } else { "" };
        out += &format!("{} = {}{comment}\n", random.of(NAMES), random.of(VALUES));
    }
    out
}
